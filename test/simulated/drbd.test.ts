import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { ALL_IS_WELL, eventsOf, eventsWith } from '../support/drbd.ts'
import { qcow2 } from '../support/qcow2.ts'
import { Agent, until } from './agent.ts'
import { onDrbd } from './drbd.ts'
import type { SimulatedHost } from './host.ts'
import { Libvirt } from './libvirt.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const tintin = vmOn('virtVG', 'tintin')
const CONFIRMATIONS = '/var/lib/lvguard/confirm-off'
const toolsOf = (host: SimulatedHost): string[] =>
  ring()
    .log.commands(host.name)
    .map(({ tool }) => tool)
const logOf = async (host: SimulatedHost): Promise<string> => (await host.read('/var/log/libvirt/lvguard.log')) ?? ''

/** The first host is on DRBD, and has the VM's volume. `put` changes what DRBD says there. */
async function tintinOnDrbd() {
  const [a] = ring().hosts
  const put = await onDrbd(a)
  await ring().volume('tintin')
  return { a, put }
}

describe('what DRBD costs', () => {
  test('a host without it is asked nothing', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    expect(toolsOf(a).filter((tool) => /drbd|pvs/.test(tool))).toEqual([])
  })

  test('where all is well, drbdsetup before and after, and no question to LVM', async () => {
    const [a, b] = ring().hosts
    for (const host of [a, b]) await onDrbd(host)
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    expect(toolsOf(a).filter((tool) => /drbd|pvs/.test(tool))).toEqual(['drbdsetup', 'drbdsetup'])
    assertPassed(await tintin.release(a))
  })
})

describe('a peer that is neither seen nor outdated', () => {
  test('a start is refused, with the ways on; nothing is locked, and the release that follows touches nothing', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    assertRefused(
      await tintin.prepare(a),
      /^lvguard: tintin was not started: DRBD resource r0, below volume group virtVG, has not seen host2, so that nobody here knows what runs there\.$/,
      /^lvguard: Bring the link back \(drbdadm status r0\), or, only if host2 is certainly off: lvguard confirm-off host2; then start tintin again\.$/,
    )
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
    assertPassed(await tintin.releaseRefused(a))
    expect(toolsOf(a)).not.toContain('lvchange')
    put(ALL_IS_WELL)
    assertPassed(await tintin.prepare(a))
  })

  test('one that goes while the lock is being taken: given back, and refused', async () => {
    const { a, put } = await tintinOnDrbd()
    a.faults.after('lvchange', () => put(eventsWith()), 1)
    assertRefused(
      await tintin.prepare(a),
      /^lvguard: tintin was not started: DRBD resource r0, below volume group virtVG, has not seen host2/,
    )
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
    assertPassed(await tintin.releaseRefused(a))
    expect(await a.read(`/run/lvguard/${tintin.uuid}.json`)).toBeUndefined()
  })

  test('a backing file is locked anew, although the image above has been held all the while', async () => {
    const [a] = ring().hosts
    const put = await onDrbd(a)
    for (const name of ['golden', 'tintin']) await ring().volume(name)
    ring().fill('virtVG/tintin', qcow2({ backing: '/dev/virtVG/golden', format: 'raw' }))
    const image = new Vm('tintin', [{ path: '/dev/virtVG/tintin', inside: "<driver name='qemu' type='qcow2'/>" }])
    assertPassed(await image.prepare(a))
    a.open('virtVG/tintin')
    assertRefused(await image.release(a), /virtVG\/tintin stays active and locked/)
    a.close('virtVG/tintin')
    await assertLocks(ring().hosts, 'golden', ['none', 'none'])
    put(eventsWith())
    assertRefused(await image.prepare(a), /has not seen host2/)
    await assertLocks(ring().hosts, 'golden', ['none', 'none'])
  })

  test('since when, as far as an agent has seen it', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    await a.write('/run/lvguard/drbd', '{"r0 0":"2026-11-27T22:31:09.123Z"}\n')
    assertRefused(await tintin.prepare(a), /has not seen host2 since 2026-11-27 22:31 UTC/)
  })

  test('a VM that runs is released; what is still held by it may start again, what was let go may not', async () => {
    const { a, put } = await tintinOnDrbd()
    assertPassed(await tintin.prepare(a))
    put(eventsWith())
    a.open('virtVG/tintin')
    assertRefused(await tintin.release(a), /stays active and locked/)
    a.close('virtVG/tintin')
    // Its lock was never let go.
    assertPassed(await tintin.prepare(a))
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
    assertRefused(await tintin.prepare(a), /has not seen host2/)
  })

  test('what somebody has locked by hand since is no lock of this VM', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    a.act('lvchange -aey virtVG/tintin')
    assertRefused(await tintin.prepare(a), /has not seen host2/)
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
  })

  test('a migration to here is refused, also if the link goes between migrate and prepare', async () => {
    const [a, b] = ring().hosts
    const put = await onDrbd(b)
    await ring().volume('tintin')
    put(eventsWith())
    assertRefused(
      await tintin.migrate(b),
      /^lvguard: tintin was not let in: DRBD resource r0.*has not seen host1/,
      /confirm-off host1; then migrate tintin again/,
    )
    put(ALL_IS_WELL)
    assertPassed(await tintin.prepare(a))
    a.act('lvchange -asy virtVG/tintin')
    const letIn = await tintin.migrate(b)
    assertPassed(letIn)
    put(eventsWith())
    assertRefused(await tintin.prepare(b, letIn.stdout), /^lvguard: tintin was not let in: DRBD resource r0/)
    await assertLocks(ring().hosts, 'tintin', ['sh', 'none'])
  })

  test('a VM without a volume on it starts as ever', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    const local = new Vm('milou', [{ path: '/dev/localVG/milou' }])
    await ring().volume('milou', { vg: 'localVG' })
    assertPassed(await local.prepare(a))
  })

  test('the dry run says it, and writes nothing', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    const { code, stdout } = await a.program(['--dry-run', 'tintin', 'prepare'], tintin.xml())
    expect({ code, stdout }).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^# would be refused: .*has not seen host2/m),
    })
  })
})

describe('other states of DRBD', () => {
  test.each<[string, string, RegExp, RegExp]>([
    ['split brain', eventsOf('split-brain-node1'), /is StandAlone/, /README, Two hosts on DRBD/],
    [
      'no good copy',
      eventsWith({ disk: 'Inconsistent' }),
      /no copy on this host that is up to date \(Inconsistent\)/,
      /drbdadm status r0/,
    ],
    [
      'I/O waits for the fence-peer handler',
      eventsWith({ suspended: 'fencing' }),
      /DRBD resource r0 of this host lets all reads and writes wait \(fencing\), and LVM would wait with it\.$/,
      /fence-peer/,
    ],
    [
      'an answer that is cut off',
      eventsWith().replace('exists -\n', ''),
      /cannot be told: drbdsetup has not said all/,
      /events2 --now/,
    ],
    [
      'Secondary, so that LVM does not see the VG',
      eventsWith({ role: 'Secondary' }),
      /is Secondary on this host/,
      /drbdadm primary r0/,
    ],
  ])('%s', async (_what, events, what, advice) => {
    const { a, put } = await tintinOnDrbd()
    put(events)
    assertRefused(await tintin.prepare(a), what, advice)
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('while I/O waits no LVM command is run that would wait with it', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith({ suspended: 'fencing' }))
    assertRefused(await tintin.prepare(a), /lets all reads and writes wait/)
    expect(toolsOf(a).filter((tool) => /^(?:lv|vg|pv)s$|lvchange/.test(tool))).toEqual([])
  })

  test.each<[string, string, string, boolean]>([
    ['outdated by fencing', eventsOf('fenced-peer-outdated-node2'), '', true],
    [
      'quorum',
      eventsWith({ quorum: 'yes' }),
      'resource "r0" {\n    options {\n        quorum          \tmajority;\n    }\n}\n',
      true,
    ],
    ['no quorum asked for', eventsWith({ quorum: 'yes' }), 'resource "r0" {\n}\n', false],
  ])('DRBD itself decides: %s', async (_what, events, show, isLet) => {
    const { a, put } = await tintinOnDrbd()
    put(events, show)
    const result = await tintin.prepare(a)
    if (isLet) assertPassed(result)
    else assertRefused(result, /has not seen/)
  })

  test('pvs that does not answer, or a PV that is not there', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    a.faults.answer('pvs', { code: 5, stdout: '' }, 1)
    assertRefused(await tintin.prepare(a), /cannot be told: pvs does not answer/)
    a.faults.answer('pvs', { stdout: '{"report":[{"pv":[{"pv_name":"[unknown]","vg_name":"virtVG"}]}]}' }, 1)
    assertRefused(await tintin.prepare(a), /cannot be told: a physical volume of it is not there \(\[unknown\]\)/)
  })

  test('another VG on another disk is none of it; the disk below DRBD is', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    await a.write('/sys/block/vdb/dev', '254:16\n')
    await a.write('/sys/block/vdc/holders/drbd0', '')
    const pv = (path: string) => ({ stdout: `{"report":[{"pv":[{"pv_name":"${path}","vg_name":"virtVG"}]}]}` })
    a.faults.answer('pvs', pv('/dev/vdc'))
    assertRefused(await tintin.prepare(a), /has not seen host2/)
    a.faults.clear()
    a.faults.answer('pvs', pv('/dev/vdb'))
    assertPassed(await tintin.prepare(a))
  })
})

describe('another DRBD resource of this host, with no volume of the VM on it', () => {
  /** r0, below the VG, is well; r1 is as given. */
  const besides = (state: Parameters<typeof eventsWith>[0]): string =>
    ALL_IS_WELL.replace('exists -\n', '') +
    eventsWith(state).replaceAll('name:r0', 'name:r1').replace('minor:0', 'minor:1')

  test.each<[string, Parameters<typeof eventsWith>[0]]>([
    ['its peer is not seen', {}],
    ['split brain', { connection: 'StandAlone' }],
    ['Secondary', { role: 'Secondary' }],
    ['no good copy', { disk: 'Inconsistent' }],
    ['a state that nobody knows', { connection: 'Teleporting' }],
  ])('is none of it: %s', async (_what, state) => {
    const [a] = ring().hosts
    const put = await onDrbd(a)
    await a.write('/sys/block/drbd1/dev', '147:1\n')
    await ring().volume('tintin')
    put(besides(state))
    // LVM cannot open it where it is Secondary, and says so with its exit code; the VG's own PV is to be seen.
    a.faults.answer('pvs', { code: 5, stdout: '{"report":[{"pv":[{"pv_name":"/dev/drbd0","vg_name":"virtVG"}]}]}' })
    expect(await a.program(['--dry-run', 'tintin', 'prepare'], tintin.xml())).toMatchObject({
      code: 0,
      stdout: expect.not.stringMatching(/refused/),
    })
    assertPassed(await tintin.prepare(a))
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
  })

  test('but for one whose I/O waits: LVM would wait with it, and that is said of no VG', async () => {
    const [a] = ring().hosts
    const put = await onDrbd(a)
    await a.write('/sys/block/drbd1/dev', '147:1\n')
    await ring().volume('tintin')
    put(besides({ suspended: 'fencing' }))
    assertRefused(
      await tintin.prepare(a),
      /^lvguard: tintin was not started: DRBD resource r1 of this host lets all reads and writes wait \(fencing\), and LVM would wait with it\.$/,
    )
  })
})

describe('lvguard confirm-off', () => {
  test('asks for the name; then VMs start here, and each time it is said, until the peer is seen', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    expect(await a.program(['confirm-off', 'host2'], 'host1\n')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/Type its name: lvguard: that is not host2; nothing was changed\.\n$/),
    })
    assertRefused(await tintin.prepare(a), /has not seen host2/)
    expect(await a.program(['confirm-off', 'host2'], 'host2\n')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^DRBD resource r0 does not see host2, which counts as off since 'lvguard confirm-off host2' of .* UTC, until it is seen again or this host boots\.\n$/,
      ),
    })
    const { code, stderr } = await tintin.prepare(a)
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^lvguard: DRBD resource r0 does not see host2, which counts as off since .*\.\n$/),
    })
    await until(async () =>
      /"outcome":"locked".*counts as off since|counts as off since.*"outcome":"locked"/.test(await logOf(a)),
    )
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    assertPassed(await tintin.release(a))
    // Seen again, in the middle of a copy: forgotten.
    put(eventsWith({ connection: 'Connected', replication: 'SyncSource', peerDisk: 'Inconsistent' }))
    assertPassed(await tintin.prepare(a))
    expect(existsSync(a.root.at(`${CONFIRMATIONS}/r0+0.json`))).toBe(false)
    assertPassed(await tintin.release(a))
    put(eventsWith())
    assertRefused(await tintin.prepare(a), /has not seen host2/)
  })

  test('it outlives the loss of /run, and the dry run forgets nothing', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    expect(await a.program(['confirm-off', 'host2', '--yes'])).toMatchObject({ code: 0, stderr: '' })
    a.emptyRun()
    expect((await a.program(['--dry-run', 'tintin', 'prepare'], tintin.xml())).stdout).toMatch(
      /^# DRBD resource r0 does not see host2, which counts as off/m,
    )
    put(ALL_IS_WELL)
    expect((await a.program(['--dry-run', 'tintin', 'prepare'], tintin.xml())).code).toBe(0)
    expect(existsSync(a.root.at(`${CONFIRMATIONS}/r0+0.json`))).toBe(true)
  })

  test('what was said before this host booted counts no longer, whoever has made it Primary; said anew it does', async () => {
    const { a, put } = await tintinOnDrbd()
    put(eventsWith())
    const confirm = () => a.program(['confirm-off', 'host2', '--yes'])
    expect((await confirm()).code).toBe(0)
    const file = `${CONFIRMATIONS}/r0+0.json`
    const said = JSON.parse((await a.read(file)) ?? '') as object
    await a.write(file, `${JSON.stringify({ ...said, at: new Date(0).toISOString() })}\n`)
    assertRefused(await tintin.prepare(a), /has not seen host2/, /lvguard confirm-off host2/)
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
    assertPassed(await tintin.releaseRefused(a))
    expect((await confirm()).code).toBe(0)
    expect(await tintin.prepare(a)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/does not see host2, which counts as off/),
    })
  })

  test.each<[string, string | undefined, string, RegExp]>([
    [
      'another host’s name',
      eventsWith(),
      'host3',
      /no DRBD resource of this host waits for host3\.\nlvguard: These wait: r0 for host2\.\n/,
    ],
    ['a peer that is connected', ALL_IS_WELL, 'host2', /nothing has to be confirmed/],
    [
      'a split brain',
      eventsOf('split-brain-node1'),
      'host2',
      /is StandAlone.*cannot be confirmed\.\nlvguard: .*drbdadm connect r0/,
    ],
    [
      'a host without DRBD',
      undefined,
      'host2',
      /there is no DRBD device on this host, so nothing can be confirmed\.\nlvguard: .*drbdadm up all\.\n/,
    ],
    [
      'one that talks',
      eventsWith({ connection: 'Connected' }),
      'host2',
      /^lvguard: DRBD resource r0 is connected to host2, which does not get each write of this host\. One that talks is not off: that cannot be confirmed\.\n/,
    ],
    [
      'a copy of which no host has a good one',
      eventsWith({
        connection: 'Connected',
        replication: 'Established',
        disk: 'Inconsistent',
        peerDisk: 'Inconsistent',
      }),
      'host2',
      /no copy on this host that is up to date \(Inconsistent\).*cannot be confirmed/,
    ],
    [
      'Secondary and connected',
      eventsWith({ role: 'Secondary', connection: 'Connected', replication: 'Established' }),
      'host2',
      /is Secondary on this host\. That cannot be confirmed\.\nlvguard: drbdadm primary r0/,
    ],
    [
      'a state that nobody knows',
      eventsWith({ connection: 'Teleporting' }),
      'host2',
      /cannot be told: .*Teleporting.*cannot be confirmed/,
    ],
  ])('not for %s', async (_what, events, name, words) => {
    const [a] = ring().hosts
    if (events !== undefined) (await onDrbd(a))(events)
    expect(await a.program(['confirm-off', name, '--yes'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(words),
    })
    expect(await a.list(CONFIRMATIONS)).toEqual([])
  })

  test.each<[string, Parameters<typeof eventsWith>[0], RegExp]>([
    ['Secondary', { role: 'Secondary' }, /is Secondary on this host\. drbdadm primary r0/],
    ['I/O waits', { suspended: 'fencing' }, /lets all reads and writes wait \(fencing\)/],
    ['no copy that is up to date', { disk: 'Consistent' }, /no copy on this host that is up to date \(Consistent\)/],
  ])(
    'before the resource is usable (%s): it counts once it is, and what else is to be done is said',
    async (_what, state, words) => {
      const { a, put } = await tintinOnDrbd()
      put(eventsWith(state))
      const { code, stdout } = await a.program(['confirm-off', 'host2', '--yes'])
      const [said, other] = stdout.split('\n')
      expect({ code, said }).toEqual({
        code: 0,
        said: expect.stringMatching(/^DRBD resource r0 does not see host2, which counts as off since /),
      })
      expect(other).toMatch(/^Before a VM on it starts here: DRBD resource r0 /)
      expect(other).toMatch(words)
      assertRefused(await tintin.prepare(a), new RegExp(words.source.split('\\. ')[0] ?? ''))
      put(eventsWith())
      expect(await tintin.prepare(a)).toMatchObject({
        code: 0,
        stderr: expect.stringMatching(/does not see host2, which counts as off/),
      })
    },
  )

  test('where the configuration names no host, the person’s word counts', async () => {
    const [a] = ring().hosts
    const put = await onDrbd(a)
    put(eventsWith())
    a.faults.answer('drbdadm', { code: 1 })
    expect(await a.program(['confirm-off', 'anything', '--yes'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/your word counts/),
    })
  })
})

describe('the agent', () => {
  test('says when the peer goes and when it comes back, notes since when, and forgets what was confirmed', async () => {
    const { a, put } = await tintinOnDrbd()
    const libvirt = new Libvirt(a)
    libvirt.startDaemon()
    assertPassed(await tintin.prepare(a))
    libvirt.put(tintin)
    const agent = await Agent.start(ring(), a)
    put(eventsWith())
    await agent.passTwice()
    await until(() => agent.said(/^<3>DRBD resource r0 has not seen host2 since \d{4}-/).length > 0)
    expect(Object.keys(JSON.parse((await a.read('/run/lvguard/drbd')) ?? ''))).toEqual(['r0 0'])
    // What runs, runs on.
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    assertRefused(await vmOn('virtVG', 'milou').prepare(a), /has not seen host2 since \d{4}-/)
    expect((await a.program(['confirm-off', 'host2', '--yes'])).code).toBe(0)
    await agent.passTwice()
    await until(
      () => agent.said(/^<4>DRBD resource r0 does not see host2, which counts as off .*VMs start here/).length > 0,
    )
    put(ALL_IS_WELL)
    await agent.passTwice()
    await until(() => agent.said(/^<5>DRBD resource r0 sees its peer again/).length > 0)
    expect(
      agent.said(
        /^<5>DRBD resource r0 sees host2 again: what was said with 'lvguard confirm-off host2' counts no longer/,
      ),
    ).toHaveLength(1)
    expect(await a.list(CONFIRMATIONS)).toEqual([])
    expect(await a.read('/run/lvguard/drbd')).toBeUndefined()
    put(eventsOf('split-brain-node1'))
    await agent.passTwice()
    await until(() => agent.said(/^<2>DRBD resource r0 is StandAlone/).length > 0)
  })

  test('ends a migration out to a host whose copy lacks the last writes', async () => {
    const { a, put } = await tintinOnDrbd()
    const libvirt = new Libvirt(a)
    libvirt.startDaemon()
    assertPassed(await tintin.prepare(a))
    libvirt.put(tintin)
    a.faults.answer('virsh', { code: 0 })
    const agent = await Agent.start(ring(), a)
    libvirt.out(tintin, 'perform3')
    await until(async () => (await a.lock('tintin')) === 'sh')
    put(eventsWith())
    await agent.passTwice()
    await until(
      () => agent.said(/^<3>the migration of tintin was aborted: DRBD does not see the other host/).length > 0,
    )
    expect(
      ring()
        .log.commands(a.name, 'virsh')
        .map(({ line }) => line),
    ).toEqual([`virsh --connect qemu:///system domjobabort ${tintin.uuid}`])
    libvirt.put(tintin)
    await until(async () => (await a.lock('tintin')) === 'ex')
  })
})
