import { mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { qcow2 } from '../../support/qcow2.ts'
import { domainXml } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { DEFAULTS } = await import('../../../src/core/configuration.ts')
const { candidatesOf } = await import('../../../src/core/domain.ts')
const { parseDomain } = await import('../../../src/libvirt/domain-xml.ts')
const { findSources } = await import('../../../src/acts/sources.ts')
const { levelBelow } = await import('../../../src/acts/image-links.ts')
afterAll(() => root.remove())

const link = (path: string, target: string): void => {
  mkdirSync(dirname(join(root.path, path)), { recursive: true })
  symlinkSync(target, join(root.path, path))
}
const EXCLUSIVE =
  '<metadata><p:policy xmlns:p="urn:lvguard:policy:1"><p:disk target="vda" mode="exclusive"/></p:policy></metadata>'
/** A VM with one disk, in what its sources turn out to be. `store`: what the XML says is below it. */
async function found(source: string, type: 'block' | 'file', metadata = '', store = '') {
  const sourceOf = (path: string): string => `<source ${type === 'file' ? 'file' : 'dev'}='${path}'/>`
  const below =
    store === '' ? '' : `<backingStore type='${type}'><format type='qcow2'/>${sourceOf(store)}</backingStore>`
  const domain = parseDomain(
    domainXml({
      inside: `${metadata}<devices><disk type='${type}'><driver type='qcow2'/>${sourceOf(source)}${below}<target dev='vda'/></disk></devices>`,
    }),
  )
  const { disks, found: meanings } = await findSources(domain)
  return { domain, ...candidatesOf({ ...domain, disks }, DEFAULTS, meanings) }
}

test('a qcow2 file names a volume in JSON', async () => {
  root.write('dev/virtVG/.keep', '')
  root.write(
    'srv/json.qcow2',
    qcow2({
      backing: 'json:{"driver":"raw","file":{"driver":"host_device","filename":"/dev/virtVG/golden"}}',
      format: 'raw',
    }),
  )
  const { volumes } = await found('/srv/json.qcow2', 'file')
  expect(volumes.map(({ vg, lv, mode }) => `${vg}/${lv} ${mode}`)).toEqual(['virtVG/golden shared'])
})

test('a volume is named by a link, and its header has a relative name: that is beside the link', async () => {
  root.write('sys/block/dm-4/dm/name', 'virtVG-over\n')
  root.write('sys/block/dm-4/dm/uuid', `LVM-${'v'.repeat(32)}${'o'.repeat(32)}\n`)
  root.write('dev/dm-4', qcow2({ backing: 'base', format: 'raw' }))
  link('dev/virtVG/over', '../dm-4')
  link('srv/vm/disk', '/dev/virtVG/over')
  link('srv/vm/base', '/dev/virtVG/golden')
  const { domain, images } = await found('/srv/vm/disk', 'block')
  const links = images.map((image) => ({ ...image, above: [] }))
  const { candidates } = await levelBelow(links, domain, DEFAULTS, [])
  expect(candidates.map(({ vg, lv }) => `${vg}/${lv}`)).toEqual(['virtVG/golden'])
})

describe('the data file of an image below is locked as that image, whatever the policy of the disk', () => {
  test.each<[string, string]>([
    ['as the header above says', ''],
    ['as the XML says', '/srv/base.qcow2'],
  ])('in files, below %s', async (_, store) => {
    root.write('srv/top.qcow2', qcow2({ backing: '/srv/base.qcow2', format: 'qcow2' }))
    root.write('srv/base.qcow2', qcow2({ dataFile: '/dev/virtVG/data' }))
    const { volumes } = await found('/srv/top.qcow2', 'file', EXCLUSIVE, store)
    expect(volumes.map(({ vg, lv, mode }) => `${vg}/${lv} ${mode}`)).toEqual(['virtVG/data shared'])
  })

  const volume = (node: string, lv: string, content: string | Buffer = ''): void => {
    root.write(`sys/block/${node}/dm/name`, `virtVG-${lv}\n`)
    root.write(`sys/block/${node}/dm/uuid`, `LVM-${'v'.repeat(32)}${lv.padEnd(32, 'x')}\n`)
    root.write(`dev/${node}`, content)
  }
  test.each<[string, string, string, string[]]>([
    ['as the header above says', '/dev/virtVG/top', '', ['virtVG/base shared', 'virtVG/data shared']],
    ['as the XML says', '/dev/virtVG/top', '/dev/virtVG/base', ['virtVG/data shared']],
    ['nothing: it is the disk itself', '/dev/virtVG/base', '', ['virtVG/data exclusive']],
  ])('on volumes, below %s', async (_, source, store, expected) => {
    volume('dm-5', 'base', qcow2({ dataFile: '/dev/virtVG/data' }))
    volume('dm-6', 'data')
    volume('dm-7', 'top', qcow2({ backing: '/dev/virtVG/base', format: 'qcow2' }))
    const { domain, images } = await found(source, 'block', EXCLUSIVE, store)
    const said: string[] = []
    let links: Parameters<typeof levelBelow>[0] = images.map((image) => ({ ...image, above: [] }))
    while (links.length > 0) {
      const level = await levelBelow(links, domain, DEFAULTS, [])
      said.push(...level.candidates.map(({ vg, lv, mode }) => `${vg}/${lv} ${mode}`))
      links = level.links
    }
    expect(said).toEqual(expected)
  })
})
