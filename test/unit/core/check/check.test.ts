import { afterAll, describe, expect, test } from 'vitest'
import { findingsOfHost } from '../../../../src/core/check/check.ts'
import type { CheckFacts } from '../../../../src/core/check/facts.ts'
import {
  OWN_CODES,
  type Code,
  type Finding,
  changes,
  exitOf,
  finding,
  inOrder,
  untold,
} from '../../../../src/core/check/finding.ts'
import { known, unknown } from '../../../../src/core/status.ts'
import { parseEvents } from '../../../../src/drbd/events.ts'
import {
  UNITS_TEXT,
  UUID,
  area,
  capture,
  checkFacts,
  domain,
  host,
  hosts,
  lockspace,
  record,
  volume,
} from '../../support/check-facts.ts'

test('a good set-up gives no finding', () => expect(findingsOfHost(checkFacts())).toEqual([]))

type Wrong = Parameters<typeof checkFacts>[0]
const sanlock = (change: Partial<typeof lockspace>, hasWatchdog: boolean | 'untold' = true) =>
  known({
    now: 1000,
    hasWatchdog: hasWatchdog === 'untold' ? undefined : hasWatchdog,
    watchdogFire: 60,
    lockspaces: [{ ...lockspace, ...change }],
    notUnderstood: [],
  })
const withArea = (change: Parameters<typeof area>[0]): Wrong => ({
  status: { areas: new Map([['virtVG', known(area(change))]]) },
})
const units = (from: string | RegExp, to: string): Wrong => ({ units: known(UNITS_TEXT.replace(from, to)) })
const lvmconfig = (from: string, to: string): Wrong => ({
  lvmconfig: known(capture('debian-12/lvmconfig-fine.txt').replace(from, to)),
})
const drbdSaid = (name: string): string =>
  /^\$ drbdsetup events2[^\n]*\n([\s\S]*?exists -)/m.exec(capture(`debian-13/drbd/${name}.txt`))?.[1] ?? ''
const drbd = (name: string, change = (text: string): string => text): Wrong => ({
  status: { drbd: known(parseEvents(change(drbdSaid(name)))) },
})
const DUMP = /^\$ drbdadm dump r0\n([\s\S]*)/m.exec(capture('debian-13/drbd/configuration.txt'))?.[1] ?? ''
const GOOD_DUMP = DUMP.replaceAll(/(after-sb-\dpri +)\S+;/g, '$1disconnect;').replace(
  'net {',
  'net {\n        fencing resource-and-stonith;',
)
const dump = (text: string): Wrong => ({ drbdDumps: new Map([['r0', known(text)]]) })
const xml = (name: string, change: (text: string) => string): Wrong => ({
  definitions: [{ name, xml: change(checkFacts().definitions[0]?.xml ?? '') }],
})

/** Code and severity of all that is found; what is wrong must match, and nothing else may be found. */
const CASES: readonly (readonly [what: string, wrong: Wrong, found: string, words: RegExp])[] = [
  ['sanlock without a watchdog', { status: { sanlock: sanlock({}, false) } }, 'LVG101 warning', /without a watchdog/],
  [
    'whether sanlock has one is not told',
    { status: { sanlock: sanlock({}, 'untold') } },
    'LVG101 unknown',
    /cannot be told whether sanlock has a watchdog/,
  ],
  ['no wdmd', { wdmd: false }, 'LVG102 critical', /no wdmd runs/],
  [
    'systemd has the device',
    {
      watchdogs: [{ device: 'watchdog0', identity: 'iTCO_wdt', users: ['systemd'] }],
      manager: known('RuntimeWatchdogUSec=30s\n'),
    },
    'LVG103 critical',
    /\/dev\/watchdog0 is used by systemd/,
  ],
  [
    'systemd says that it uses it, and nobody can be seen to',
    {
      watchdogs: [{ device: 'watchdog0', identity: 'iTCO_wdt', users: [] }],
      manager: known('RuntimeWatchdogUSec=1min\n'),
    },
    'LVG103 critical',
    /systemd uses the watchdog/,
  ],
  [
    'another daemon has one, wdmd another',
    {
      watchdogs: [
        { device: 'watchdog0', identity: 'iTCO_wdt', users: ['wdmd'] },
        { device: 'watchdog1', identity: 'x', users: ['watchdog'] },
      ],
    },
    'LVG103 warning',
    /watchdog1 is used by watchdog/,
  ],
  [
    'softdog only',
    { watchdogs: [{ device: 'watchdog0', identity: 'Software Watchdog', users: ['wdmd'] }] },
    'LVG104 warning',
    /only watchdog is softdog/,
  ],
  [
    'different io_timeouts',
    withArea({ hosts: hosts(host(1, 'node1'), host(2, 'node2', { ioTimeout: 20 })) }),
    'LVG105 warning',
    /node1 10 s, node2 20 s/,
  ],
  [
    'leases that cannot be read',
    { status: { areas: new Map([['virtVG', unknown('it does not answer')]]) } },
    'LVG105 unknown',
    /the leases of virtVG: it does not answer/,
  ],
  ['no host_id', lvmconfig('host_id=1', 'host_id=0'), 'LVG106 critical', /has no host_id/],
  ['no host_id at all', lvmconfig('host_id=1\n', ''), 'LVG106 critical', /has no host_id/],
  ['a host_id out of range', lvmconfig('host_id=1', 'host_id=2001'), 'LVG106 critical', /host_id is 2001/],
  [
    'another host_id than the one it has joined with',
    lvmconfig('host_id=1', 'host_id=2'),
    'LVG106 critical',
    /has joined virtVG as 1/,
  ],
  [
    'two host_ids with one name',
    withArea({ hosts: hosts(host(1, 'node1'), host(2, 'node1')) }),
    'LVG107 critical',
    /host_id 1 and host_id 2 of virtVG have one name, node1/,
  ],
  [
    "a host_id that is another host's",
    withArea({ hosts: hosts(host(1, 'node2'), host(3, 'node1')) }),
    'LVG107 critical',
    /host_id 1 of virtVG, which is this host's, is node2's too/,
  ],
  [
    'another name in the lease',
    withArea({ hosts: hosts(host(1, '1f5d7a0c-0000-4000-8000-000000000001.localhost'), host(2, 'node2')) }),
    'LVG108 warning',
    /called node1, and its lease on virtVG says localhost/,
  ],
  [
    'LVM without its lock daemon',
    lvmconfig('use_lvmlockd=1', 'use_lvmlockd=0'),
    'LVG109 critical',
    /does not use its lock daemon/,
  ],
  [
    'lvmconfig fails',
    { lvmconfig: unknown('lvmconfig was not found') },
    'LVG109 unknown|LVG202 unknown',
    /lvmconfig was not found/,
  ],
  [
    'units that are not enabled',
    units(/(lvmlocks\.service\nLoadState=loaded\nUnitFileState=)enabled/, '$1disabled'),
    'LVG110 warning',
    /not started at boot: lvmlocks/,
  ],
  [
    'a masked unit',
    units(/(wdmd\.service\nLoadState=)loaded\nUnitFileState=enabled/, '$1masked\nUnitFileState=masked'),
    'LVG110 warning',
    /wdmd/,
  ],
  ['no systemd', { units: unknown('systemctl was not found') }, 'LVG110 unknown', /systemctl was not found/],
  [
    'a daemon that does not run',
    units(/(sanlock\.service\nLoadState=loaded\nUnitFileState=enabled\nActiveState=)active/, '$1failed'),
    'LVG111 critical',
    /not running: sanlock/,
  ],
  [
    'libvirt before the locks',
    units('After=lvmlocks.service network.target', 'After=network.target'),
    'LVG112 warning',
    /libvirtd may start VMs before their locks/,
  ],
  [
    'the agent before the locks',
    units('After=lvmlockd.service lvmlocks.service libvirtd.service', 'After=libvirtd.service'),
    'LVG112 warning',
    /lvguard\.service is not ordered/,
  ],
  [
    'no global lock',
    withArea({ leases: new Map([[UUID, { resource: UUID, exclusive: { hostId: 1, generation: 1 }, shared: [] }]]) }),
    'LVG113 warning',
    /no volume group has the global lock/,
  ],
  [
    'a slow lease disk',
    {
      renewal: new Map([['virtVG', known('timestamp=17480 read_ms=2100 write_ms=3 next_timeouts=0 next_errors=0\n')]]),
    },
    'LVG114 warning',
    /a renewal took 2100 ms/,
  ],
  [
    'renewals that failed',
    { renewal: new Map([['virtVG', known('timestamp=17480 read_ms=1 write_ms=3 next_timeouts=2 next_errors=1\n')]]) },
    'LVG114 warning',
    /3 timed out or failed/,
  ],
  [
    'renewals in another form',
    { renewal: new Map([['virtVG', known('renewed 5\n')]]) },
    'LVG114 unknown',
    /in the form that is known/,
  ],
  [
    'a late lease',
    { status: { sanlock: sanlock({ renewed: 960 }) } },
    'LVG115 critical',
    /not renewed its lease on virtVG for 40 s/,
  ],
  ['a lost lease', { status: { sanlock: sanlock({ hasFailed: true }) } }, 'LVG115 critical', /lost its lease/],
  [
    'another kill command',
    lvmconfig('lvmlockctl_kill_command=""', 'lvmlockctl_kill_command="/bin/true"'),
    'LVG117 warning',
    /is '\/bin\/true'/,
  ],
  ['a VG that was cut off', { status: { killed: new Set(['virtVG']) } }, 'LVG118 critical', /virtVG was cut off/],
  [
    'an orphan',
    { status: { locks: { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map() } } },
    'LVG119 critical|LVG409 critical',
    /unknown to its lvmlockd: virtVG\/tintin/,
  ],

  [
    'a PV that is seen twice',
    { pvs: known(capture('debian-12/pvs-duplicate.json')) },
    'LVG201 critical',
    /on \/dev\/pvdup/,
  ],
  ['pvs in another form', { pvs: known('') }, 'LVG201 unknown', /own form/],
  ['volumes of guests are scanned', lvmconfig('scan_lvs=0', 'scan_lvs=1'), 'LVG202 warning', /volumes of guests/],
  [
    'a PV that is missing',
    { pvs: known(capture('debian-12/pvs-missing.json')) },
    'LVG203 critical',
    /of virtVG is not there/,
  ],
  [
    'autoactivation',
    { lvs: known(capture('debian-12/lvs-check.json')) },
    'LVG204 warning',
    /exclusively: virtVG\/auto$/,
  ],
  [
    'an LV without lock arguments',
    {
      lvs: known(
        capture('debian-12/lvs-check.json')
          .replace('1.0.0:283115520', '')
          .replace('"lv_autoactivation":"enabled"', '"lv_autoactivation":""'),
      ),
    },
    'LVG206 critical',
    /virtVG\/auto$/,
  ],
  [
    'an error table',
    { status: { devices: [{ vg: 'virtVG', lv: 'tintin', node: 'dm-1', dmUuid: 'LVM-x', dead: 'error' }] } },
    'LVG207 critical',
    /virtVG\/tintin \(fails all I\/O\)/,
  ],
  [
    'a logical pool',
    { pools: [{ name: 'virtpool', vg: 'virtVG', isAutostarted: false, isRunning: false }] },
    'LVG208 warning',
    /the storage pool virtpool is on virtVG/,
  ],
  [
    'a logical pool that is autostarted',
    { pools: [{ name: 'virtpool', vg: 'virtVG', isAutostarted: true, isRunning: true }] },
    'LVG208 critical',
    /started at boot/,
  ],
  [
    'multipath that queues',
    { multipath: known('mpatha on\nmpathb 6 chk\n') },
    'LVG209 critical',
    /map mpatha queues for ever/,
  ],
  [
    'iSCSI that waits',
    { paths: [{ name: 'session1', kind: 'iSCSI', giveUp: 120 }] },
    'LVG210 warning',
    /session1 \(120 s\)/,
  ],
  [
    'Fibre Channel that waits for ever',
    { paths: [{ name: 'rport-1:0-1', kind: 'FC', giveUp: undefined }] },
    'LVG210 warning',
    /rport-1:0-1 \(never\)/,
  ],

  [
    'DRBD that is Secondary',
    drbd('resolved-node2-secondary-node2', (text) =>
      text
        .replace(/connection:\w+/, 'connection:Connected')
        .replace(/disk:\w+/, 'disk:UpToDate')
        .replace(/peer-disk:\w+/, 'peer-disk:UpToDate'),
    ),
    'LVG301 critical',
    /r0 is Secondary here/,
  ],
  [
    'one primary',
    dump(GOOD_DUMP.replace('allow-two-primaries yes', 'allow-two-primaries no')),
    'LVG301 critical',
    /does not allow two primaries/,
  ],
  ['protocol A', dump(GOOD_DUMP.replace(/protocol +C/, 'protocol A')), 'LVG302 critical', /protocol A/],
  [
    'no fencing, no quorum',
    dump(GOOD_DUMP.replace('fencing resource-and-stonith;', '')),
    'LVG303 warning',
    /neither fencing nor a quorum/,
  ],
  [
    'automatic discard',
    dump(DUMP.replace('net {', 'net {\n        fencing resource-and-stonith;')),
    'LVG304 critical',
    /after-sb-0pri discard-zero-changes, after-sb-1pri discard-secondary/,
  ],
  ['a link that is cut', drbd('cut-double-start-node1'), 'LVG305 critical', /not connected|StandAlone/],
  ['a split brain', drbd('split-brain-node1'), 'LVG305 critical', /StandAlone/],
  [
    'a copy that is not up to date',
    drbd('split-brain-node1', (text) =>
      text
        .replace('connection:StandAlone', 'connection:Connected')
        .replace('peer-disk:DUnknown', 'peer-disk:Inconsistent'),
    ),
    'LVG306 warning',
    /on its peer is Inconsistent/,
  ],
  [
    'drbdsetup that is missing',
    { status: { drbd: unknown('drbdsetup was not found') } },
    'LVG305 unknown',
    /drbdsetup was not found/,
  ],

  ['no hook', { hook: { file: 'missing', others: [] } }, 'LVG401 critical', /there is no/],
  ['a hook that cannot be run', { hook: { file: 'not executable', others: [] } }, 'LVG401 critical', /cannot be run/],
  ['another program', { hook: { file: 'other', others: [] } }, 'LVG401 critical', /another program/],
  ['a hook that cannot be read', { hook: { file: 'unknown', others: [] } }, 'LVG401 unknown', /cannot be read/],
  ['another version', { hook: { file: 'different', others: [] } }, 'LVG402 warning', /another lvguard/],
  [
    'a VM without a record',
    { status: { records: { known: [], unreadable: [] } } },
    'LVG403 critical',
    /no record of it/,
  ],
  [
    'another program before lvguard',
    { hook: { file: 'same', others: ['/etc/libvirt/hooks/qemu'] } },
    'LVG404 warning',
    /runs \/etc\/libvirt\/hooks\/qemu too/,
  ],
  [
    'another hook',
    { hook: { file: 'same', others: ['/etc/libvirt/hooks/qemu.d/50-net'] } },
    'LVG404 warning',
    /qemu\.d\/50-net/,
  ],
  ['no agent', { status: { agent: { kind: 'absent' } } }, 'LVG405 critical', /does not run/],
  [
    'an agent that hangs',
    { status: { agent: { kind: 'hangs', pid: 5, seconds: 45 } } },
    'LVG405 critical',
    /hangs, for 45 s/,
  ],
  ['an old agent', { isAgentOlder: true }, 'LVG406 warning', /started before/],
  [
    'a volume group whose storage is not there at all',
    { absent: new Map([['sanVG', ['milou', 'haddock']]]) },
    'LVG203 warning',
    /sees nothing of the volume group sanVG, which the definitions of milou, haddock name/,
  ],
  [
    'a wrong configuration',
    { configuration: { errors: ['line 2: unknown key'], mistakes: [], warnings: [], volumeGroups: [] } },
    'LVG407 critical',
    /line 2: unknown key/,
  ],
  [
    'a configuration that does not fit',
    { configuration: { errors: [], mistakes: [], warnings: ['volume_groups names virtVg'], volumeGroups: [] } },
    'LVG407 warning',
    /virtVg/,
  ],
  [
    'a record that cannot be read',
    { status: { records: { known: [record], unreadable: ['/run/lvguard/x.json'] } } },
    'LVG408 critical',
    /x\.json/,
  ],
  [
    'a VM without a lock',
    {
      status: {
        locks: { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map() },
        areas: new Map([
          [
            'virtVG',
            known(
              area({
                leases: new Map([
                  ...area().leases,
                  [UUID, { resource: UUID, exclusive: { hostId: 2, generation: 1 }, shared: [] }],
                ]),
              }),
            ),
          ],
        ]),
      },
    },
    'LVG409 critical',
    /tintin runs here without a lock on virtVG\/tintin/,
  ],
  [
    'locks that are not known',
    { status: { locks: { kind: 'unknown', why: 'down', detail: 'lvmlockd does not answer' } } },
    'LVG116 unknown|LVG409 unknown',
    /lvmlockd does not answer/,
  ],

  [
    'a cache mode',
    xml('tintin', (text) => text.replace("cache='none'", "cache='writeback'")),
    'LVG501 warning',
    /migrate tintin live because of disk \w+ \(cache writeback\)/,
  ],
  ['127.0.1.1', { addresses: known(['127.0.1.1']) }, 'LVG502 warning', /leads to 127\.0\.1\.1/],
  ['a name that leads nowhere', { addresses: known([]) }, 'LVG502 warning', /leads nowhere/],
  [
    'a name that nobody answers for',
    { addresses: unknown('getent does not answer within 30 s') },
    'LVG502 unknown',
    /getent/,
  ],
  [
    'libvirt-guests that suspends, whatever it does by itself',
    { libvirtGuests: 'ON_SHUTDOWN=suspend\n', libvirtGuestsScript: 'ON_SHUTDOWN="shutdown"\n' },
    'LVG503 warning',
    /saves the memory/,
  ],
  ['libvirt-guests that suspends', { libvirtGuests: 'ON_SHUTDOWN=suspend\n' }, 'LVG503 warning', /saves the memory/],
  [
    'libvirt-guests with its default',
    {
      libvirtGuests: '#ON_SHUTDOWN=shutdown\n',
      libvirtGuestsScript: 'ON_SHUTDOWN="suspend"\n    ON_SHUTDOWN="shutdown"\n',
    },
    'LVG503 warning',
    /saves the memory/,
  ],
  [
    'an old memory',
    {
      saved: known([
        {
          format: 1,
          domain,
          at: '2026-11-27T22:31:00.000Z',
          volumes: [{ vg: 'virtVG', lv: 'tintin', uuid: UUID, lver: 5 }],
        },
      ]),
    },
    'LVG504 warning',
    /virtVG\/tintin has been locked since/,
  ],
  [
    'a memory of doubt, of which no lease could be read',
    {
      saved: known([
        {
          format: 1,
          domain,
          at: '2026-11-27T22:31:00.000Z',
          volumes: [{ vg: 'virtVG', lv: 'tintin', uuid: UUID, lver: 0 }],
          doubtful: true,
        },
      ]),
    },
    'LVG504 warning',
    /may be older than its disk/,
  ],
  [
    'a memory whose lease cannot be read',
    {
      saved: known([
        {
          format: 1,
          domain,
          at: '2026-11-27T22:31:00.000Z',
          volumes: [{ vg: 'virtVG', lv: 'x', uuid: 'none', lver: 5 }],
        },
      ]),
    },
    'LVG504 unknown',
    /virtVG\/x/,
  ],
  [
    'local NVRAM',
    xml('tintin', (text) => text.replace('<os>', '<os><nvram>/var/lib/libvirt/qemu/nvram/tintin_VARS.fd</nvram>')),
    'LVG505 warning',
    /NVRAM in \/var\/lib/,
  ],
  [
    'a TPM',
    xml('tintin', (text) =>
      text.replace('</devices>', "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>"),
    ),
    'LVG505 warning',
    /TPM/,
  ],
  [
    'AppArmor',
    {
      denied: known(
        'audit: type=1400 audit(1764282660.123:45): apparmor="DENIED" operation="open" class="file" profile="libvirt-1f5d7a0c-0000-4000-8000-000000000001" name="/dev/dm-3" pid=1234 comm="qemu-system-x86" requested_mask="r" denied_mask="r" fsuid=64055 ouid=0\n',
      ),
    },
    'LVG506 warning',
    /AppArmor has denied libvirt-1f5d7a0c\S+ the use of \/dev\/dm-3/,
  ],
  [
    'SELinux',
    {
      denied: known(
        'audit: type=1400 audit(1764282660.123:45): avc:  denied  { read } for  pid=1 comm="qemu-kvm" path="/dev/dm-3" dev="devtmpfs" ino=5 scontext=system_u:system_r:svirt_t:s0 tcontext=system_u:object_r:fixed_disk_device_t:s0 tclass=blk_file permissive=0\n',
      ),
    },
    'LVG506 warning',
    /SELinux has denied/,
  ],
  [
    'needrestart',
    { needrestart: '$nrconf{override_rc} = { qr(^dbus) => 0, };\n' },
    'LVG507 warning',
    /restart lvmlockd and sanlock under/,
  ],
  [
    'unattended upgrades',
    {
      unattended: known(
        'APT::Periodic::Unattended-Upgrade "1";\nUnattended-Upgrade::Package-Blacklist "";\nUnattended-Upgrade::Package-Blacklist:: "lvm2";\n',
      ),
    },
    'LVG507 warning',
    /restart, sanlock under/,
  ],
  [
    'unattended upgrades every two days',
    {
      unattended: known(
        'APT::Periodic::Unattended-Upgrade "2";\nUnattended-Upgrade::Package-Blacklist "";\nUnattended-Upgrade::Package-Blacklist:: "lvm2";\n',
      ),
    },
    'LVG507 warning',
    /restart, sanlock under/,
  ],
  [
    'unattended upgrades of which apt-config does not tell',
    { unattended: unknown('apt-config: exit status 100') },
    'LVG507 unknown',
    /no update restarts lvmlockd or sanlock by itself: apt-config: exit status 100/,
  ],
]

describe('what is wrong is found, and nothing else with it', () => {
  const hit = new Set<Code>()
  test.each(CASES)('%s', (_, wrong, expected, words) => {
    const found = findingsOfHost(checkFacts(wrong))
    const short = [...new Set(found.map(({ code, severity }) => `${code} ${severity}`))].sort()
    expect(expected.split('|').sort()).toEqual(expect.arrayContaining(short))
    expect(found.some(({ what }) => words.test(what))).toBe(true)
    for (const each of found) {
      expect(each.mend).not.toBe('')
      expect(each.what).not.toMatch(/undefined|\.$/)
      hit.add(each.code)
    }
  })

  test('locking that is not started', () => {
    const found = findingsOfHost(
      checkFacts({
        status: {
          sanlock: known({ now: 1000, hasWatchdog: true, watchdogFire: 60, lockspaces: [], notUnderstood: [] }),
          ownIds: new Map(),
          areas: new Map(),
          locks: { kind: 'known', lockspaces: new Map(), locks: new Map() },
        },
      }),
    )
    expect(found.map(({ code }) => code)).toContain('LVG116')
    hit.add('LVG116')
  })

  test('what to do where lvmlockd was restarted: nothing that makes it worse (README)', () => {
    const found = findingsOfHost(
      checkFacts({ status: { locks: { kind: 'known', lockspaces: new Map(), locks: new Map() } } }),
    )
    const mends = found.filter(({ code }) => code === 'LVG116' || code === 'LVG119').map(({ mend }) => mend)
    expect(mends).toHaveLength(2)
    for (const mend of mends)
      expect(mend).toMatch(/^stop the VMs of this host, then reboot it; do not restart lvmlockd/)
  })

  test('a volume that no VM uses', () => {
    const found = findingsOfHost(
      checkFacts({ status: { active: { found: [], unreadable: [] }, records: { known: [], unreadable: [] } } }),
    )
    expect(found).toEqual([
      finding(
        'LVG205',
        'active here, and used by no VM of this host, so that no other host can use it: virtVG/tintin',
        'lvchange -an virtVG/tintin, if nothing else uses it',
      ),
    ])
    hit.add('LVG205')
    // A status file that cannot be read may be that of a VM which uses it.
    const unread = findingsOfHost(
      checkFacts({
        status: {
          active: { found: [], unreadable: ['/run/libvirt/qemu/a.xml'] },
          records: { known: [], unreadable: [] },
        },
      }),
    )
    expect(unread.map(({ code }) => code)).toEqual(['LVG408'])
  })

  afterAll(() => expect(OWN_CODES.filter((code) => !hit.has(code))).toEqual([]))
})

describe('what is right, and could be taken for wrong', () => {
  test.each<[string, Wrong]>([
    [
      'a host that has left with another io_timeout',
      withArea({ hosts: hosts(host(1, 'node1'), host(2, 'node2', { ioTimeout: 20, timestamp: 0 })) }),
    ],
    [
      'a lease with the long name of the host',
      withArea({ hosts: hosts(host(1, 'node1.example.org'), host(2, 'node2')) }),
    ],
    [
      'the kill command of lvguard',
      lvmconfig('lvmlockctl_kill_command=""', 'lvmlockctl_kill_command="/usr/sbin/lvguard kill"'),
    ],
    [
      'a VM on a volume group that volume_groups leaves out',
      {
        configuration: { errors: [], mistakes: [], warnings: [], volumeGroups: ['otherVG'] },
        status: {
          records: { known: [], unreadable: [] },
          locks: { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map() },
          areas: new Map([
            [
              'virtVG',
              known(area({ leases: new Map([['GLLK', { resource: 'GLLK', exclusive: undefined, shared: [] }]]) })),
            ],
          ]),
        },
      },
    ],
    ['a volume that was never activated here', { absent: new Map([['virtVG', ['milou']]]) }],
    [
      'a logical pool on a local VG',
      { pools: [{ name: 'local', vg: 'localVG', isAutostarted: true, isRunning: true }] },
    ],
    [
      'a good DRBD',
      {
        ...drbd('split-brain-node1', (text) =>
          text.replace('connection:StandAlone', 'connection:Connected').replace('DUnknown', 'UpToDate'),
        ),
        ...dump(GOOD_DUMP),
      },
    ],
    [
      'a VM whose volume a policy leaves alone: nobody has it on record, and nobody locks it',
      {
        status: {
          records: { known: [], unreadable: [] },
          locks: { kind: 'known', lockspaces: new Map([['virtVG', 'sanlock']]), locks: new Map() },
          areas: new Map([
            [
              'virtVG',
              known(area({ leases: new Map([['GLLK', { resource: 'GLLK', exclusive: undefined, shared: [] }]]) })),
            ],
          ]),
        },
        leftAlone: new Map([[domain.uuid, new Set(['virtVG/tintin'])]]),
      },
    ],
    [
      'an error table on a local VG',
      { status: { devices: [{ vg: 'localVG', lv: 'x', node: 'dm-1', dmUuid: 'LVM-x', dead: 'error' }] } },
    ],
    [
      'needrestart that spares both',
      { needrestart: '$nrconf{override_rc}{qr(^lvmlockd)} = 0;\n$nrconf{override_rc}{qr(^sanlock)} = 0;\n' },
    ],
    ['unattended upgrades that are off', { unattended: known('APT::Periodic::Unattended-Upgrade "0";\n') }],
    [
      'unattended upgrades that leave both out',
      {
        unattended: known(
          'APT::Periodic::Unattended-Upgrade "1";\nUnattended-Upgrade::Package-Blacklist:: "lvm2";\nUnattended-Upgrade::Package-Blacklist:: "sanlock$";\n',
        ),
      },
    ],
    [
      "a denial that is another program's",
      { denied: known('audit: apparmor="DENIED" operation="open" profile="/usr/sbin/cupsd" name="/etc/x"\n') },
    ],
    [
      'a memory as new as its disk',
      {
        saved: known([
          {
            format: 1,
            domain,
            at: '2026-11-27T22:31:00.000Z',
            volumes: [{ vg: 'virtVG', lv: 'tintin', uuid: UUID, lver: 7 }],
          },
        ]),
      },
    ],
    ['a name with an address beside the loopback', { addresses: known(['127.0.1.1', '10.0.128.1']) }],
    [
      'libvirt-guests without a setting, of Debian 12 and 13, which shuts down by itself',
      {
        libvirtGuests: '#ON_SHUTDOWN=shutdown\n',
        libvirtGuestsScript: 'URIS="default"\nON_BOOT="ignore"\nON_SHUTDOWN="shutdown"\nSHUTDOWN_TIMEOUT=300\n',
      },
    ],
    [
      'libvirt-guests that is not used',
      {
        libvirtGuests: undefined,
        units: known(
          UNITS_TEXT.replace(
            /(libvirt-guests\.service\nLoadState=loaded\nUnitFileState=)enabled\nActiveState=active/,
            '$1disabled\nActiveState=inactive',
          ),
        ),
      },
    ],
  ])('%s', (_, right) => expect(findingsOfHost(checkFacts(right))).toEqual([]))

  test('two global locks are one too many', () => {
    const status = {
      ...checkFacts().status,
      areas: new Map([
        ['virtVG', known(area())],
        ['otherVG', known(area())],
      ]),
    }
    expect(findingsOfHost(checkFacts({ status })).map(({ what }) => what)).toContain(
      'virtVG and otherVG each have a global lock, and hosts may use different ones',
    )
  })

  test('thin volumes, and pools, have the lock arguments that they should', () => {
    const row = (lv_name: string, lv_layout: string, lv_lockargs = '') => ({
      vg_name: 'virtVG',
      lv_name,
      vg_lock_type: 'sanlock',
      vg_autoactivation: 'enabled',
      lv_autoactivation: '',
      lv_lockargs,
      lv_layout,
      lv_role: 'public',
    })
    const lvs = (...rows: object[]): Pick<CheckFacts, 'lvs'> => ({
      lvs: known(JSON.stringify({ report: [{ lv: rows }] })),
    })
    expect(
      findingsOfHost(checkFacts(lvs(row('thin', 'thin,sparse'), row('pool', 'thin,pool', '1.0.0:70254592')))),
    ).toEqual([])
    expect(findingsOfHost(checkFacts(lvs(row('pool', 'thin,pool')))).map(({ code }) => code)).toEqual(['LVG206'])
    expect(volume('thin').lockType).toBe('sanlock')
  })
})

describe('not knowing is never ok', () => {
  const why = unknown('no answer')
  test.each<[string, Wrong]>([
    ...(['lvmconfig', 'units', 'pvs', 'lvs', 'multipath', 'denied', 'saved'] as const).map((key): [string, Wrong] => [
      key,
      { [key]: why },
    ]),
    ...(['sanlock', 'table', 'drbd'] as const).map((key): [string, Wrong] => [key, { status: { [key]: why } }]),
    ['locks', { status: { locks: { kind: 'unknown', why: 'failed', detail: 'no answer' } } }],
    ['leases', { status: { areas: new Map([['virtVG', why]]) } }],
    ['renewal', { renewal: new Map([['virtVG', why]]) }],
    ['drbdadm', { drbdDumps: new Map([['r0', why]]) }],
  ])('%s', (_, wrong) => {
    const found = findingsOfHost(checkFacts(wrong))
    expect(found.some(({ severity, what }) => severity === 'unknown' && what.includes('no answer'))).toBe(true)
    expect(exitOf(found)).toBeGreaterThan(0)
  })
})

describe('what they come to', () => {
  const [warning, critical, unclear] = [
    finding('LVG104', 'softdog', 'x'),
    finding('LVG102', 'wdmd', 'x'),
    untold('LVG105', 'why'),
  ]
  test.each<[string, readonly Finding[], number]>([
    ['nothing', [], 0],
    ['a warning', [warning], 1],
    ['a warning and something unknown', [unclear, warning], 1],
    ['something critical', [warning, critical, unclear], 2],
    ['something unknown', [unclear], 3],
  ])('%s', (_, findings, expected) => expect(exitOf(findings)).toBe(expected))

  test('the worst first, and nothing that is muted', () => {
    expect(inOrder([unclear, warning, critical], []).map(({ code }) => code)).toEqual(['LVG102', 'LVG104', 'LVG105'])
    expect(inOrder([unclear, warning, critical], ['LVG102', 'LVG105']).map(({ code }) => code)).toEqual(['LVG104'])
  })

  test('a second that goes by is no change', () => {
    const hangs = (seconds: number) => finding('LVG405', `the agent hangs, for ${seconds} s`, 'x')
    expect(changes([hangs(45), warning], [hangs(50), critical])).toEqual({ come: [critical], gone: [warning] })
  })
})
