import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { identityOf } from '../../../src/core/lock-state.ts'
import type { DomainRecord } from '../../../src/core/record.ts'
import { CONFIGURATION, HOME_VOLUME, HostDouble, ROOT_VOLUME, domainOf, xmlOf } from '../support/host-double.ts'
import { parseDomain } from '../../../src/libvirt/domain-xml.ts'
import { qcow2 } from '../../support/qcow2.ts'
import { deviceOf, recorded } from '../support/lvm.ts'
import { UUID } from '../support/xml.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
vi.mock('../../../src/lvm/lvm.ts', async () => (await import('../support/host-double.ts')).lvmOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
const { announceAgent } = await import('../../../src/state/agent-presence.ts')
const { prepare } = await import('../../../src/acts/prepare.ts')
const { release } = await import('../../../src/acts/release.ts')
const { subjectOf } = await import('../../../src/acts/host.ts')
const { vgsOfAct } = await import('../../../src/acts/seen-domains.ts')
const { readRecords, recordOf: recordOfDomain, replaceRecord } = await import('../../../src/state/record-store.ts')

beforeEach(() => {
  host = new HostDouble()
  root.clear()
  announceAgent()
})
afterAll(() => root.remove())

const BOTH = [ROOT_VOLUME, HOME_VOLUME]
/** What a `migrate` that was killed at its trial leaves: its record, and root shared. */
const TRIAL: DomainRecord = {
  format: 1,
  domain: { name: 'tintin', uuid: UUID },
  state: 'incoming',
  volumes: [recorded(ROOT_VOLUME, { mode: 'shared' }), recorded(HOME_VOLUME, { mode: 'shared' })],
}
const start = async () => (await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))).kind

describe('a start that fails, after a `migrate` that was killed', () => {
  test('gives back what that had left shared', async () => {
    await host.bringTo('shared', [ROOT_VOLUME])
    replaceRecord(UUID, undefined, TRIAL)
    host.elsewhere.add('virtVG/home')
    expect(await start()).toBe('refused')
    expect([[...host.locks.values()], [...host.active.keys()]]).toEqual([[], []])
  })

  // R2 and R1: its lock was left without a device (FACTS 24), and this start's lvchange takes the lock without making one
  // (volume_list, or it was killed half-way).
  test('does not make shared, and active, what was left without a device', async () => {
    await host.bringTo('shared', [ROOT_VOLUME])
    host.active.clear()
    replaceRecord(UUID, undefined, TRIAL)
    const { bringTo } = host
    host.bringTo = async (to, names) => {
      const result = await bringTo(to, names)
      if (to === 'exclusive') host.active.clear()
      return result
    }
    const before = host.commands.length
    expect(await start()).toBe('refused')
    // The double knows no address by UUID: what is asked for tells.
    expect(host.commands.slice(before).map((command) => command.split(' ')[0])).toEqual(['exclusive', 'inactive'])
  })

  // R4: `lvguard with --shared --hand-over virtVG/root -- COMMAND`, which has not opened it yet, or not any more.
  test('takes nothing from another record in force', async () => {
    await host.bringTo('shared', [ROOT_VOLUME])
    replaceRecord(UUID, undefined, TRIAL)
    const other = 'aaaaaaaa-0000-4000-8000-000000000002'
    replaceRecord(other, undefined, {
      format: 1,
      domain: { name: 'lvguard with x', uuid: other },
      state: 'prepared',
      command: 'hands-over',
      volumes: [recorded(ROOT_VOLUME, { role: 'shared', mode: 'shared' })],
    })
    host.elsewhere.add('virtVG/home')
    expect(await start()).toBe('refused')
    expect([[...host.locks.values()], [...host.active.keys()]]).toEqual([['shared'], ['virtVG/root']])
  })
})

describe('R14: a volume that has another name in the middle of a start', () => {
  const ROOT_ON_RECORD = recorded(ROOT_VOLUME, { ids: identityOf(ROOT_VOLUME).ids })
  const RENAMED = { ...ROOT_VOLUME, lv: 'root_old' }
  const other = 'aaaaaaaa-0000-4000-8000-000000000002'
  const usedBy = (volumes: DomainRecord['volumes'], uuid: string, name: string): DomainRecord => ({
    format: 1,
    domain: { name, uuid },
    state: uuid === UUID ? 'releasing' : 'running',
    volumes,
  })

  // It was called root_old when the start looked, and root again when lvchange did.
  test('is not given to a second VM of this host', async () => {
    host.active.set('virtVG/root_old', RENAMED)
    host.locks.set(ROOT_VOLUME.lockUuid, 'exclusive')
    replaceRecord(other, undefined, usedBy([ROOT_ON_RECORD], other, 'milou'))
    const outcome = await prepare(await subjectOf(domainOf(BOTH), CONFIGURATION))
    expect(outcome).toMatchObject({
      kind: 'refused',
      problems: [{ kind: 'on-record', volume: 'virtVG/root', domain: 'milou' }],
    })
    expect(host.locks.get(ROOT_VOLUME.lockUuid)).toBe('exclusive')
  })

  // As above, for what is only read: its lvchange makes a shared lock of the exclusive one (FACTS 20).
  const HEADER = qcow2({ backing: '/dev/virtVG/root', format: 'raw' })
  const OVERLAY = xmlOf([HOME_VOLUME]).replace('<source', "<driver name='qemu' type='qcow2'/><source")
  const READ_ONLY = xmlOf(BOTH).replace(/(virtVG\/root.*\n.*)/, '$1<readonly/>')
  const startRenamed = async (xml: string) => {
    host.active.set('virtVG/root_old', RENAMED)
    host.locks.set(ROOT_VOLUME.lockUuid, 'exclusive')
    root.write(`dev/${deviceOf(HOME_VOLUME).node}`, HEADER)
    return prepare(await subjectOf(parseDomain(xml), CONFIGURATION))
  }
  test.each([
    ['as a backing file', OVERLAY],
    ['as a disk that it reads', READ_ONLY],
  ])('is not given to a second VM of this host %s, and stays exclusive', async (_, xml) => {
    replaceRecord(other, undefined, usedBy([ROOT_ON_RECORD], other, 'milou'))
    expect(await startRenamed(xml)).toMatchObject({
      kind: 'refused',
      problems: [{ kind: 'on-record', volume: 'virtVG/root', domain: 'milou' }],
    })
    expect([...host.locks]).toEqual([[ROOT_VOLUME.lockUuid, 'exclusive']])
  })

  // Where nothing else is left of it, it would be deactivated for a VM that was refused.
  test('goes on to be the other VM’s, and what a person’s it was before', async () => {
    replaceRecord(other, undefined, usedBy([{ ...ROOT_ON_RECORD, before: 'active' }], other, 'milou'))
    expect((await startRenamed(READ_ONLY)).kind).toBe('refused')
    replaceRecord(other, recordOfDomain(other, readRecords()), undefined)
    await release(parseDomain(READ_ONLY), CONFIGURATION)
    expect([...host.locks]).toEqual([[ROOT_VOLUME.lockUuid, 'exclusive']])
  })

  test.each([
    ['', xmlOf(BOTH)],
    [', which reads it', READ_ONLY],
    [', which reads it as a backing file', OVERLAY],
  ])('is not given to a VM where a person has it active%s', async (_, xml) => {
    expect(await startRenamed(xml)).toMatchObject({
      kind: 'refused',
      problems: [{ kind: 'renamed', volume: 'virtVG/root', was: 'virtVG/root_old' }],
    })
    expect([...host.locks]).toEqual([[ROOT_VOLUME.lockUuid, 'exclusive']])
  })

  // An earlier life of this VM has left it; now nothing, or another volume, has the name that its XML says.
  test('stays on record until it is given back, whatever comes of the start', async () => {
    host.active.set('virtVG/root_old', RENAMED)
    host.locks.set(ROOT_VOLUME.lockUuid, 'exclusive')
    replaceRecord(UUID, undefined, usedBy([ROOT_ON_RECORD], UUID, 'tintin'))
    host.elsewhere.add('virtVG/root')
    expect(await start()).toBe('refused')
    const named = recordOfDomain(UUID, readRecords())?.volumes.map(({ lv, ids }) => [lv, ids?.lv])
    expect(named).toContainEqual(['root_old', ROOT_VOLUME.uuid])
  })
})

test('a record that names no volume does not make the agent wait for the lock of a VG that is cut off', () => {
  const record: DomainRecord = { ...TRIAL, volumes: [] }
  const view = { domain: record.domain, wanted: { mode: 'inactive' }, record, runs: false, live: [] } as const
  expect(vgsOfAct(view, ['virtVG', 'aVG'], new Set(['virtVG']))).toEqual(['aVG'])
})
