import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Attempt, Holder, Problem } from '../../../src/core/problem.ts'
import { explain } from '../../../src/core/explain.ts'

const node1: Holder = {
  name: 'node1',
  hostId: 1,
  mode: 'exclusive',
  silentFor: 3.4,
  expiresAfter: 140,
  isThisHost: false,
}
const held = (...holders: Partial<Holder>[]): Extract<Problem, { kind: 'held' }> => ({
  kind: 'held',
  volume: 'virtVG/root',
  holders: holders.map((holder) => ({ ...node1, ...holder })),
})

type Row = readonly [
  problem: Problem,
  what: readonly (string | RegExp)[],
  advice: readonly (string | RegExp)[],
  attempt?: Attempt,
]
/** One row a kind: what the first line must say, what the second. */
const ROWS: Readonly<Record<Problem['kind'], readonly Row[]>> = {
  held: [
    // It may hold it for another VM, a mount, or since lvcreate: nothing is said of the VM that is not known.
    [
      held({}),
      ['virtVG/root', 'exclusively by node1', 'last alive 3 s ago'],
      [
        /^If tintin runs there: virsh -c qemu\+ssh:\/\/node1\/system shutdown tintin;/,
        /if nothing there uses it: ssh node1 lvchange --activate n virtVG\/root\.$/,
      ],
    ],
    [held({ mode: 'shared' }), ['virtVG/root', 'shared by node1'], ['node1']],
    [
      held({ mode: 'shared' }, { name: 'node3', mode: 'shared', silentFor: 0 }),
      ['shared by node1, last alive 3 s ago and shared by node3, last alive 0 s ago'],
      ['node1', 'each of these hosts'],
    ],
    [held({ silentFor: undefined }), [/exclusively by node1\.$/], ['node1']],
    [held({ silentFor: -0.2 }), ['last alive 0 s ago'], ['node1']],
    [
      held({ silentFor: 60 }),
      ['last alive 60 s ago'],
      [/^Make sure that node1 is off, .* its lock can be taken in about 80 s: start tintin again then\.$/],
    ],
    [held({ silentFor: 200 }), ['last alive 200 s ago'], ['any moment now', 'start tintin again']],
    [held({ silentFor: 60, expiresAfter: 68 }), [], ['in about 8 s']],
    [
      held({ mode: 'shared' }, { name: 'node3', mode: 'shared', silentFor: 100 }),
      ['node1', 'node3'],
      ['Make sure that node3 is off', 'in about 40 s'],
    ],
    [
      held({ isThisHost: true }),
      ['virtVG/root', 'this host itself left behind'],
      ['virtVG', '--lock-stop', '--lock-start'],
    ],
    [held(), ['virtVG/root is locked by another host'], ['virsh list', 'tintin']],
    [{ ...held({}), pool: 'p' }, ['exclusively by node1'], ['logical storage pool p', 'pool-destroy p', 'node1']],
    [{ ...held({}), pool: 'p' }, ['exclusively by node1'], ['agent', 'node1'], 'migration'],
    [{ ...held({ mode: 'shared' }), pool: 'p' }, ['shared by node1'], ['shutdown tintin']],
    [
      held({}),
      ['tintin was not let in', 'exclusively by node1'],
      ['agent', 'node1', 'systemctl restart lvguard', '--copy-storage', 'leave that option out', 'The VM runs on'],
      'migration',
    ],
    [
      { ...held({}), isOnlyRead: true },
      ['tintin was not let in', 'exclusively by node1'],
      [
        /^tintin only reads it, so something else has taken it for itself there;/,
        'ssh node1 lvchange --activate sy virtVG/root',
        'The VM runs on',
      ],
      'migration',
    ],
    [
      { ...held({ mode: 'shared' }), isByMany: true },
      ['tintin was not let in', 'shared by node1'],
      [
        /^Only the host that tintin leaves may share it\./,
        'virsh list',
        'lvchange --activate n virtVG/root',
        'The VM runs on',
      ],
      'migration',
    ],
    [held({ silentFor: 60 }), ['last alive 60 s ago'], ['migrate tintin again'], 'migration'],
  ],
  'not-started': [
    [
      { kind: 'not-started', vg: 'virtVG' },
      ['virtVG', 'not started'],
      ['vgchange --lock-start virtVG', 'start tintin again'],
    ],
  ],
  starting: [
    [
      { kind: 'starting', vg: 'virtVG' },
      ['virtVG', 'still starting'],
      ['20 s to 3 min', 'vgs virtVG', 'start tintin again'],
    ],
  ],
  'lvmlockd-down': [[{ kind: 'lvmlockd-down' }, ['lvmlockd is not running'], ['systemctl start lvmlockd']]],
  'lvmlockd-off': [
    [
      { kind: 'lvmlockd-off', vg: 'virtVG' },
      ['virtVG', 'does not use lvmlockd'],
      ['use_lvmlockd = 1', '/etc/lvm/lvm.conf'],
    ],
  ],
  'locks-unknown': [
    [
      { kind: 'locks-unknown', detail: 'lvs does not answer' },
      ['cannot be read', 'lvs does not answer'],
      ['lvmlockctl --info'],
    ],
  ],
  'missing-volume': [
    [
      { kind: 'missing-volume', volume: 'virtVG/root', disk: 'disk vda' },
      ['virtVG/root', 'disk vda'],
      ['virsh domblklist tintin', 'lvs virtVG'],
    ],
  ],
  'volume-unknown': [
    [
      {
        kind: 'volume-unknown',
        volume: 'virtVG/root',
        disk: 'disk vda',
        detail: "LVM says 'Volume group virtVG is exported'",
      },
      ['virtVG/root', 'disk vda', 'virtVG is exported'],
      ['lvs virtVG/root', 'vgs virtVG', 'start tintin again'],
    ],
  ],
  'missing-vg': [[{ kind: 'missing-vg', vg: 'virtVG', disk: 'disk vda' }, ['virtVG', 'disk vda'], ['storage', 'pvs']]],
  'not-active': [
    [
      { kind: 'not-active', volume: 'virtVG/root' },
      ['virtVG/root did not become active on this host'],
      ['lvmconfig activation/volume_list', 'start tintin again'],
    ],
  ],
  renamed: [
    [
      { kind: 'renamed', volume: 'virtVG/root', was: 'virtVG/root_old' },
      ['virtVG/root was called virtVG/root_old', 'is active on this host'],
      ['start tintin again'],
    ],
  ],
  'cut-off': [
    [
      { kind: 'cut-off', vg: 'virtVG' },
      ['virtVG', 'were cut off on this host'],
      ['lvguard recover virtVG', 'start tintin again'],
    ],
  ],
  'lease-lost': [
    [
      { kind: 'lease-lost', vg: 'virtVG', isKnown: true },
      ['virtVG', 'has lost its lease', 'may be locked by another host'],
      ['lvguard recover virtVG', 'start tintin again'],
    ],
    [
      { kind: 'lease-lost', vg: 'virtVG', isKnown: false },
      ['virtVG', 'cannot be told', 'sanlock does not answer'],
      ['systemctl status sanlock', 'start tintin again'],
    ],
  ],
  'caller-ended': [
    [{ kind: 'caller-ended' }, ['the libvirt daemon that asked for it has ended'], ['start tintin again']],
  ],
  'dead-device': [
    [
      { kind: 'dead-device', volume: 'virtVG/root', is: 'error' },
      ['virtVG/root', "its table is 'error'"],
      ['lvguard recover virtVG', 'start tintin again'],
    ],
    [
      { kind: 'dead-device', volume: 'virtVG/root', is: 'suspended' },
      ['virtVG/root', 'suspended'],
      ['dmsetup info', 'migrate tintin again'],
      'migration',
    ],
  ],
  'unknown-use': [
    [
      { kind: 'unknown-use', path: '/dev/virtVG/root', element: 'qemu:commandline' },
      ['<qemu:commandline> names /dev/virtVG/root'],
      ['<disk>', "policy for 'qemu:commandline'", 'ignore'],
    ],
  ],
  'unseen-vg': [
    [
      { kind: 'unseen-vg', volume: 'virtVG/root', disk: 'disk vda' },
      ['virtVG/root is active', 'does not see its volume group', 'disk vda'],
      ['lvmconfig devices', 'start tintin again'],
    ],
  ],
  'no-device': [
    [
      { kind: 'no-device', path: '/dev/virtVG/root', is: 'a regular file', disk: 'disk vda' },
      ['/dev/virtVG/root is not the volume but a regular file', 'disk vda'],
      ['ls -l /dev/virtVG/root', 'rm /dev/virtVG/root', 'start tintin again'],
    ],
    [
      { kind: 'no-device', path: '/dev/virtVG/root', is: 'a folder', disk: 'disk vda' },
      ['a folder'],
      ['rm -r /dev/virtVG/root'],
    ],
  ],
  'impossible-name': [
    [
      { kind: 'impossible-name', path: '/dev/virtVG/-f', disk: 'disk vda' },
      ['/dev/virtVG/-f', 'disk vda'],
      ['/dev/VG/LV'],
    ],
  ],
  open: [
    [
      { kind: 'open', volume: 'virtVG/root', users: ['mounted on /mnt', 'used by the device x'] },
      ['virtVG/root', 'in use', 'mounted on /mnt, used by the device x'],
      ['End that use', 'start tintin again'],
    ],
    [
      { kind: 'open', volume: 'virtVG/root', users: ['used by the VM tintin (process 123)'] },
      ['tintin runs on this host already, and uses virtVG/root'],
      ["See 'virsh list'"],
    ],
    [
      {
        kind: 'open',
        volume: 'virtVG/root',
        users: ['used by the VM tintin (process 123)', 'used by the VM milou (process 124)'],
      },
      ['in use', 'used by the VM milou'],
      ['End that use'],
    ],
  ],
  'on-record': [
    [
      { kind: 'on-record', volume: 'virtVG/root', domain: 'milou', hasEnded: false },
      ['virtVG/root', 'the VM milou on this host'],
      ['Stop milou', '<shareable/>'],
    ],
    [
      { kind: 'on-record', volume: 'virtVG/root', domain: 'lvguard with dd', hasEnded: false, isCommand: true },
      ['virtVG/root is used by a command on this host: lvguard with dd'],
      ['Wait until that has ended', 'start tintin again'],
    ],
    [
      { kind: 'on-record', volume: 'virtVG/root', domain: 'milou', hasEnded: true },
      ['virtVG/root', 'the VM milou, which has ended'],
      ['lvchange --activate n virtVG/root', 'start tintin again'],
    ],
  ],
  'locked-here': [
    [
      { kind: 'locked-here', volume: 'virtVG/root', pool: 'p' },
      ['virtVG/root', 'logical storage pool p', 'every volume of virtVG'],
      ['virsh pool-destroy p', 'migrate tintin again'],
      'migration',
    ],
    [
      { kind: 'locked-here', volume: 'virtVG/root' },
      ['virtVG/root', 'locked on this host'],
      ['lvchange --activate n virtVG/root', 'migrate tintin again'],
      'migration',
    ],
  ],
  'not-shareable': [
    [
      { kind: 'not-shareable', volume: 'virtVG/thin1', type: 'thin,sparse' },
      ['virtVG/thin1', 'cannot be shared', 'live migration', 'thin,sparse'],
      ['Shut tintin down', 'the other host'],
      'migration',
    ],
    // A <readonly/> disk on a thin volume: nobody migrates anything.
    [
      { kind: 'not-shareable', volume: 'virtVG/thin1', type: 'thin-pool' },
      ['virtVG/thin1', 'cannot be shared', 'thin-pool', /^(?!.*migration)/],
      [/^(?!.*other host)/],
    ],
  ],
  'no-lock': [[{ kind: 'no-lock', volume: 'virtVG/root' }, ['virtVG/root', 'no lock'], ['lv_lockargs', 'virtVG/root']]],
  'stale-memory': [
    [
      { kind: 'stale-memory', volume: 'virtVG/root', at: '2026-11-27T22:31:09.123Z', by: 'node2', holders: [] },
      [
        'tintin was not started: node2 has locked virtVG/root since its memory was saved here (2026-11-27 22:31 UTC)',
        'disk is newer than its memory',
      ],
      ['virsh managedsave-remove tintin', 'virsh start tintin'],
    ],
    // It runs there now: it must not be started here at once, whatever becomes of its memory.
    [
      {
        kind: 'stale-memory',
        volume: 'virtVG/root',
        at: '2026-11-27T22:31:09.123Z',
        by: 'this host',
        holders: [{ name: 'node2', hostId: 2, mode: 'exclusive', silentFor: 3, expiresAfter: 140, isThisHost: false }],
      },
      ['this host has locked virtVG/root since', 'node2 holds it now, last alive 3 s ago, where tintin seems to run'],
      [
        /^If it runs there: virsh -c qemu\+ssh:\/\/node2\/system shutdown tintin; then.*virsh managedsave-remove tintin; virsh start tintin/,
      ],
    ],
  ],
  'doubtful-memory': [
    [
      { kind: 'doubtful-memory', volume: 'virtVG/root', at: '2026-11-27T22:31:09.123Z', holders: [] },
      [
        'tintin was not started: when its memory was saved here (2026-11-27 22:31 UTC), the end of a migration of it was in doubt',
        'disk may be newer than its memory',
      ],
      ['virsh managedsave-remove tintin', 'virsh start tintin'],
    ],
    [
      {
        kind: 'doubtful-memory',
        volume: 'virtVG/root',
        at: '2026-11-27T22:31:09.123Z',
        holders: [{ name: 'node2', hostId: 2, mode: 'exclusive', silentFor: 3, expiresAfter: 140, isThisHost: false }],
      },
      ['node2 holds virtVG/root now, last alive 3 s ago, where tintin seems to run'],
      [/^If it runs there: virsh -c qemu\+ssh:\/\/node2\/system shutdown tintin; then/],
    ],
  ],
  'active-here': [
    [{ kind: 'active-here' }, ['runs or starts on this host'], ['virsh list', 'not migrated'], 'migration'],
    [{ kind: 'active-here' }, ['runs or starts on this host'], ['virsh list', 'nothing of it was changed']],
  ],
  'no-agent': [
    [
      { kind: 'no-agent' },
      ['no lvguard agent runs on this host'],
      ['systemctl start lvguard', 'migrate tintin again'],
      'migration',
    ],
  ],
  'agent-hangs': [
    [
      { kind: 'agent-hangs', pid: 4711, seconds: 45 },
      ['the lvguard agent of this host hangs', 'process 4711', '45 s'],
      ['systemctl restart lvguard', 'migrate tintin again'],
      'migration',
    ],
  ],
  'vg-busy': [
    [
      { kind: 'vg-busy', vg: 'virtVG', seconds: 30, isQueue: false },
      ['has been at work on volume group virtVG', '30 s', 'this host'],
      ['ps -ef', 'start tintin again'],
    ],
    [
      { kind: 'vg-busy', vg: 'virtVG', seconds: 600, isQueue: true },
      ['came first', 'virtVG', '600 s'],
      ['ps -ef', 'start tintin again'],
    ],
  ],
  drbd: [
    [
      {
        kind: 'drbd',
        vg: 'virtVG',
        trouble: {
          kind: 'peer-unseen',
          resource: 'r0',
          peers: ['0'],
          host: 'node2',
          since: '2026-11-27T22:31:09.123Z',
        },
      },
      ['DRBD resource r0, below volume group virtVG, has not seen node2 since 2026-11-27 22:31 UTC'],
      [/^Bring the link back .*lvguard confirm-off node2; then start tintin again\.$/],
    ],
    [
      { kind: 'drbd', vg: 'virtVG', trouble: { kind: 'peer-unseen', resource: 'r0', peers: ['0'] } },
      ['has not seen its peer, so that'],
      ['lvguard confirm-off HOST', 'migrate tintin again'],
      'migration',
    ],
    [
      { kind: 'drbd', vg: 'virtVG', trouble: { kind: 'split-brain', resource: 'r0' } },
      ['StandAlone', 'split brain'],
      ['drbdadm connect r0', 'README, Two hosts on DRBD'],
    ],
    [
      { kind: 'drbd', vg: 'virtVG', trouble: { kind: 'suspended', resource: 'r0', why: 'fencing' } },
      ['reads and writes wait (fencing)'],
      ['fence-peer', 'drbdadm status r0'],
    ],
    [
      { kind: 'drbd', vg: 'virtVG', trouble: { kind: 'no-quorum', resource: 'r0' } },
      ['r0, below volume group virtVG, has no quorum'],
      ['drbdadm status r0'],
    ],
    [
      { kind: 'drbd', vg: 'virtVG', trouble: { kind: 'not-primary', resource: 'r0' } },
      ['is Secondary on this host'],
      ['drbdadm primary r0', 'vgchange --lock-start virtVG'],
    ],
    [
      { kind: 'drbd', vg: 'virtVG', trouble: { kind: 'not-up-to-date', resource: 'r0', disk: 'Inconsistent' } },
      ['DRBD resource r0, below volume group virtVG, has no copy on this host that is up to date (Inconsistent)'],
      ['Bring the link back'],
    ],
    [
      { kind: 'drbd', vg: 'virtVG', trouble: { kind: 'not-primary', resource: 'r0', mayHide: true } },
      [
        'LVM sees no volume group virtVG on this host, and what it may stand on, DRBD resource r0, is Secondary on this host',
      ],
      ['drbdadm primary r0'],
    ],
    [
      { kind: 'drbd', vg: 'virtVG', trouble: { kind: 'unknown', detail: 'drbdsetup was not found' } },
      ['DRBD below volume group virtVG', 'drbdsetup was not found'],
      ['events2 --now'],
    ],
  ],
  'vg-refused': [
    [
      {
        kind: 'vg-refused',
        vg: 'virtVG',
        text: 'Cannot access VG virtVG with system ID node9 with local system ID node1.',
      },
      ['virtVG', 'with system ID node9'],
      ['one other host', 'vgs --foreign -o +systemid virtVG', 'vgcreate --shared'],
    ],
    [
      { kind: 'vg-refused', vg: 'virtVG', text: 'Volume group virtVG is exported' },
      ['Volume group virtVG is exported'],
      ['vgimport virtVG', 'start tintin again'],
    ],
  ],
  'not-installed': [
    [
      { kind: 'not-installed', command: 'lvs', packages: 'lvm2 lvm2-lockd' },
      ['lvs was not found'],
      ['apt install lvm2 lvm2-lockd', 'start tintin again'],
    ],
  ],
  'records-unreadable': [
    [
      { kind: 'records-unreadable', files: ['/run/lvguard/x.json'] },
      ['/run/lvguard/x.json'],
      ['newer lvguard', 'only if no VM'],
    ],
  ],
  'record-unwritable': [
    [{ kind: 'record-unwritable', detail: 'ENOSPC: no space left on device' }, ['/run/lvguard', 'ENOSPC'], ['df /run']],
  ],
  'unknown-source': [
    [
      { kind: 'unknown-source', detail: 'there is no storage pool x on this host (disk vda)' },
      ['storage pool x', 'disk vda'],
      ['virsh domblklist tintin'],
    ],
  ],
  'bad-image': [
    [
      { kind: 'bad-image', volume: 'virtVG/root', detail: 'it names itself' },
      ['qcow2 image on virtVG/root', 'it names itself'],
      ['qemu-img info -U /dev/virtVG/root', '<backingStore>'],
    ],
  ],
  'bad-policy': [
    [
      { kind: 'bad-policy', detail: "disk vdb has mode 'x'" },
      ['<metadata>', "disk vdb has mode 'x'"],
      ['exclusive, shared and ignore', 'virsh metadata tintin urn:lvguard:policy:1'],
    ],
  ],
  'bad-xml': [
    [{ kind: 'bad-xml', detail: 'the domain XML is cut off' }, ['the domain XML is cut off'], ['Nothing was changed']],
  ],
  'bad-configuration': [
    [
      { kind: 'bad-configuration', errors: ['line 3: unknown key x'] },
      ['the configuration is wrong', 'line 3: unknown key x'],
      ['/etc/libvirt/lvguard.conf'],
    ],
    [
      { kind: 'bad-configuration', errors: ['line 1: a', 'line 2: b'] },
      ['line 1: a; line 2: b'],
      ['/etc/libvirt/lvguard.conf'],
    ],
  ],
  other: [
    [
      { kind: 'other', detail: "LVM says 'what?'" },
      ["LVM says 'what?'"],
      ['/var/log/libvirt/lvguard.log', 'start tintin again'],
    ],
  ],
}

const rows = Object.entries(ROWS).flatMap(([kind, list]) => list.map((row) => [kind, row] as const))

describe("the two lines for whoever reads virsh's error", () => {
  test.each(rows)('%s %#', (_, [problem, whats, advices, attempt = 'start']) => {
    const { what, advice } = explain(problem, 'tintin', attempt)
    expect(what).toMatch(attempt === 'start' ? /^tintin was not started: .+\.$/ : /^tintin was not let in: .+\.$/)
    expect(advice).toMatch(/^\S.+\.$/)
    for (const part of whats) expect(what).toMatch(part)
    for (const part of advices) expect(advice).toMatch(part)
    expect(what + advice).not.toMatch(/undefined|NaN|\[object|\n/)
  })

  test('every problem has them, for a start and for a migration, each in one line', () => {
    const problem = fc.constantFrom(...rows.map(([, [each]]) => each))
    fc.assert(
      fc.property(problem, fc.constantFrom('start', 'migration'), (each, attempt) => {
        const { what, advice } = explain(each, 'tintin', attempt)
        expect([what, advice].every((line) => line.length > 20 && !line.includes('\n'))).toBe(true)
        expect(advice).not.toMatch(attempt === 'start' ? /migrate tintin again/ : /[^r]start tintin again/)
      }),
    )
  })
})
