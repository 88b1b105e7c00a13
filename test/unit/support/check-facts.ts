import { readFileSync } from 'node:fs'
import type { CheckFacts } from '../../../src/core/check/facts.ts'
import type { LeaseArea } from '../../../src/core/lease-area.ts'
import type { LogicalVolume } from '../../../src/core/lock-state.ts'
import type { DomainRecord } from '../../../src/core/record.ts'
import { type StatusFacts, known } from '../../../src/core/status.ts'
import { statusOf } from '../../../src/core/status-of.ts'
import { hookInput } from './captures.ts'

export const capture = (path: string): string =>
  readFileSync(new URL(`../../captures/${path}`, import.meta.url), 'utf8')

export const UUID = '3c24g0-y0Xm-bSKB-jlWE-sv6m-aHX7-dDU9af'
export const volume = (lv: string, more: Partial<LogicalVolume> = {}): LogicalVolume => ({
  vg: 'virtVG',
  lv,
  uuid: UUID,
  vgUuid: 'a6gvKf-PPFi-ufWK-7T0T-Av7j-IcYT-epAJs1',
  lockType: 'sanlock',
  lockUuid: UUID,
  layout: 'linear',
  shareable: true,
  leaseOffset: 70254592,
  ...more,
})

const host = (
  hostId: number,
  name: string,
  more: Partial<LeaseArea['hosts'] extends ReadonlyMap<number, infer H> ? H : never> = {},
) => [hostId, { hostId, name, generation: 1, timestamp: 900, ioTimeout: 10, ...more }] as const
export const hosts = (...each: readonly ReturnType<typeof host>[]): LeaseArea['hosts'] => new Map(each)
export { host }

export const area = (more: Partial<LeaseArea> = {}): LeaseArea => ({
  hosts: hosts(host(1, 'node1'), host(2, 'node2')),
  leases: new Map([
    ['GLLK', { resource: 'GLLK', exclusive: undefined, shared: [] }],
    [UUID, { resource: UUID, exclusive: { hostId: 1, generation: 1 }, shared: [], taken: { lver: 7, owner: 1 } }],
  ]),
  ...more,
})

export const domain = { name: 'tintin', uuid: '1f5d7a0c-0000-4000-8000-000000000001' }
export const record: DomainRecord = {
  format: 1,
  domain,
  state: 'running',
  volumes: [{ vg: 'virtVG', lv: 'tintin', role: 'exclusive', mode: 'exclusive', before: 'inactive' }],
}
export const lockspace = { vg: 'virtVG', list: 'spaces' as const, ioTimeout: 10, renewed: 995, hasFailed: false }

/** node1, with one VM that runs as it should. */
const STATUS: StatusFacts = {
  host: 'node1',
  at: '2026-11-27T22:31:00.000Z',
  now: 1000,
  locks: { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map([[UUID, 'exclusive']]) },
  sanlock: known({ now: 1000, hasWatchdog: true, watchdogFire: 60, lockspaces: [lockspace], notUnderstood: [] }),
  ownIds: new Map([['virtVG', 1]]),
  table: known([volume('tintin')]),
  areas: new Map([['virtVG', known(area())]]),
  seen: new Map([['virtVG', new Map([[2, { lastLive: 990, ioTimeout: 10 }]])]]),
  records: { known: [record], unreadable: [] },
  active: {
    found: [{ ...domain, volumes: [{ vg: 'virtVG', lv: 'tintin' }], state: 'running', reason: 'booted', job: 'none' }],
    unreadable: [],
  },
  defined: [],
  devices: [],
  killed: new Set(),
  agent: { kind: 'runs', pid: 5 },
  drbd: known([]),
}

const unit = (id: string, more: string): string =>
  `Id=${id}\nLoadState=loaded\nUnitFileState=enabled\nActiveState=active\n${more}\n`
export const UNITS_TEXT = [
  unit('lvmlockd.service', 'After=sanlock.service'),
  unit('lvmlocks.service', 'After=lvmlockd.service'),
  unit('sanlock.service', 'After=wdmd.service'),
  unit('wdmd.service', 'After=basic.target'),
  unit('lvguard.service', 'After=lvmlockd.service lvmlocks.service libvirtd.service'),
  unit('libvirtd.service', 'After=lvmlocks.service network.target'),
  'Id=virtqemud.service\nLoadState=not-found\nUnitFileState=\nActiveState=inactive\nAfter=\n',
  unit('libvirt-guests.service', 'After=libvirtd.service'),
].join('\n')

/** A domain that libvirt really wrote, all of whose disks can migrate. */
const DEFINITION = hookInput('prepare')
  .xml.replaceAll(/cache='[^']*'/g, "cache='none'")
  .replaceAll(/<driver name='qemu' type='(\w+)'\/>/g, "<driver name='qemu' type='$1' cache='none'/>")

/** A host on which all is as it should be; whatever a test changes is wrong. */
export function checkFacts({
  status: of = {},
  ...more
}: Partial<Omit<CheckFacts, 'status' | 'table'>> & { readonly status?: Partial<StatusFacts> } = {}): CheckFacts {
  const status = { ...STATUS, ...of }
  return {
    status,
    table: statusOf(status),
    absent: new Map(),
    lvmconfig: known(capture('debian-12/lvmconfig-fine.txt')),
    renewal: new Map([['virtVG', known(capture('debian-12/sanlock-renewal-fine.txt'))]]),
    units: known(UNITS_TEXT),
    manager: known('RuntimeWatchdogUSec=0\n'),
    wdmd: true,
    watchdogs: [{ device: 'watchdog0', identity: 'iTCO_wdt', users: ['wdmd'] }],
    pvs: known(capture('debian-12/pvs-fine.json')),
    lvs: known(JSON.stringify({ report: [{ lv: [] }] })),
    pools: [],
    multipath: known('mpatha 6 chk\nmpathb off\nmpathc -\n'),
    paths: [
      { name: 'session1', kind: 'iSCSI', giveUp: 20 },
      { name: 'rport-1:0-1', kind: 'FC', giveUp: 5 },
    ],
    drbdDumps: new Map(),
    hook: { file: 'same', others: [] },
    isAgentOlder: false,
    configuration: { errors: [], mistakes: [], warnings: [], volumeGroups: [] },
    leftAlone: new Map(),
    definitions: [{ name: 'tintin', xml: DEFINITION }],
    hostname: 'node1',
    addresses: known(['10.0.128.1']),
    libvirtGuests: '# a comment\nON_SHUTDOWN=shutdown\n',
    needrestart: undefined,
    unattended: undefined,
    denied: known(''),
    saved: known([]),
    ...more,
  }
}
