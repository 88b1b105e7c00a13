import { afterAll, expect, test, vi } from 'vitest'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let onRead = (_path: string): void => undefined
vi.mock('../../../src/system/quiet-files.ts', async () => {
  const actual = await vi.importActual<typeof import('../../../src/system/quiet-files.ts')>(
    '../../../src/system/quiet-files.ts',
  )
  return {
    ...actual,
    trimmedTextOf: (path: string) => {
      const text = actual.trimmedTextOf(path)
      onRead(path)
      return text
    },
  }
})
const { activeVolumes } = await import('../../../src/lvm/devices.ts')
afterAll(() => root.remove())

const put = (node: string, uuid: string, name: string): void => {
  root.write(`sys/block/${node}/dm/uuid`, `LVM-${uuid}\n`)
  root.write(`sys/block/${node}/dm/name`, `${name}\n`)
  root.write(`sys/block/${node}/slaves/sda`, '')
}
test('R14: a number of device-mapper goes to another volume during the look: no volume gets the name of another', () => {
  put('dm-1', 'A', 'virtVG-a')
  put('dm-2', 'C', 'virtVG-c')
  let isDone = false
  onRead = (path) => {
    if (isDone || !path.includes('dm-2')) return
    isDone = true
    // lvchange -an virtVG/a; lvchange -ay virtVG/b
    put('dm-1', 'B', 'virtVG-b')
  }
  const names = activeVolumes().map(({ dmUuid, lv }) => `${dmUuid} ${lv}`)
  expect(names).not.toContain('LVM-A b')
})
