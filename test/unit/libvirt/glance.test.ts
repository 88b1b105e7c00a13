import { readFileSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { activeGlanceAt, glanceAt } from '../../../src/libvirt/glance.ts'
import { parseDomainStatus } from '../../../src/libvirt/domain-status.ts'
import { meaningOfPath } from '../../../src/core/volume.ts'
import { hookInputs } from '../support/captures.ts'

const CAPTURES = new URL('../../captures/', import.meta.url)
const statusFiles = ['debian-12', 'debian-13'].flatMap((suite) =>
  ['migrate-live', 'migrate-p2p'].flatMap((kind) =>
    ['node1', 'node2'].flatMap((node) => {
      const folder = new URL(`${suite}/status/${kind}/${node}/`, CAPTURES)
      return readdirSync(folder).map((name): [string, string] => [
        `${suite} ${kind} ${node} ${name}`,
        readFileSync(new URL(name, folder), 'utf8'),
      ])
    }),
  ),
)

describe('a glance at what libvirt really wrote says the same as parsing it', () => {
  test.each(statusFiles)('%s', (_, text) => {
    const { status, domain } = parseDomainStatus(text)
    const glance = activeGlanceAt(text)
    expect(glance).toMatchObject({
      name: domain.name,
      uuid: domain.uuid,
      state: status.state,
      reason: status.reason,
      pid: status.pid,
      job: status.async,
    })
    const paths = domain.disks.flatMap(({ path }) => (path === undefined ? [] : [meaningOfPath(path)]))
    for (const meaning of paths)
      if (meaning.kind === 'volume') expect(glance?.volumes).toContainEqual({ vg: meaning.vg, lv: meaning.lv })
  })

  test('a name with signs of XML; a path by its device-mapper name', () => {
    expect(
      glanceAt(
        `<!-- x --><domain type='kvm'><name>a&amp;b</name><uuid>1F5D7A0C-0000-4000-8000-000000000000</uuid><disk><source dev="/dev/disk/by-id/dm-name-virt--VG-a"/></disk></domain>`,
      ),
    ).toEqual({ name: 'a&b', uuid: '1f5d7a0c-0000-4000-8000-000000000000', volumes: [{ vg: 'virt-VG', lv: 'a' }] })
  })

  test.each([
    '',
    '<domstatus state="running">',
    '<domain><name>a</name></domain>',
    '<network><name>a</name><uuid>b</uuid></network>',
  ])('%j is no domain', (text) => expect(glanceAt(text)).toBeUndefined())
  test('a definition is no status file', () => expect(activeGlanceAt(hookInputs[0]?.xml ?? '')).toBeUndefined())
})
