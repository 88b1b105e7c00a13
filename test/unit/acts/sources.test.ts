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
/** A VM with one disk, in what its sources turn out to be. */
async function found(source: string, type: 'block' | 'file', metadata = '') {
  const domain = parseDomain(
    domainXml({
      inside: `${metadata}<devices><disk type='${type}'><driver type='qcow2'/><source ${type === 'file' ? 'file' : 'dev'}='${source}'/><target dev='vda'/></disk></devices>`,
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
  test('in files', async () => {
    root.write('srv/top.qcow2', qcow2({ backing: '/srv/base.qcow2', format: 'qcow2' }))
    root.write('srv/base.qcow2', qcow2({ dataFile: '/dev/virtVG/data' }))
    const { volumes } = await found('/srv/top.qcow2', 'file', EXCLUSIVE)
    expect(volumes.map(({ vg, lv, mode }) => `${vg}/${lv} ${mode}`)).toEqual(['virtVG/data shared'])
  })

  test.each<[string, readonly string[], string]>([
    ['below', ['virtVG/top'], 'virtVG/data shared'],
    ['of the disk itself', [], 'virtVG/data exclusive'],
  ])('on volumes: %s', async (_, above, expected) => {
    root.write('sys/block/dm-5/dm/name', 'virtVG-base\n')
    root.write('sys/block/dm-5/dm/uuid', `LVM-${'v'.repeat(32)}${'b'.repeat(32)}\n`)
    root.write('dev/dm-5', qcow2({ dataFile: '/dev/virtVG/data' }))
    root.write('sys/block/dm-6/dm/name', 'virtVG-data\n')
    root.write('sys/block/dm-6/dm/uuid', `LVM-${'v'.repeat(32)}${'d'.repeat(32)}\n`)
    const { domain, images } = await found('/dev/virtVG/base', 'block', EXCLUSIVE)
    const links = images.map((image) => ({
      ...image,
      mode: above.length > 0 ? ('shared' as const) : image.mode,
      above,
    }))
    const { candidates } = await levelBelow(links, domain, DEFAULTS, [])
    expect(candidates.map(({ vg, lv, mode }) => `${vg}/${lv} ${mode}`)).toEqual([expected])
  })
})
