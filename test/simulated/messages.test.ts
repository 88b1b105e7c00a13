import { describe, expect, test } from 'vitest'
import { Vm, announceAgent, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const tintin = vmOn('virtVG', 'tintin')

describe('what the user of virsh start reads', () => {
  test('held by a live host', async () => {
    const [a, b] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    assertRefused(
      await tintin.prepare(b),
      /^lvguard: tintin was not started: virtVG\/tintin is held exclusively by host1, last alive \d+ s ago\.$/,
      /^lvguard: If tintin runs there: virsh -c qemu\+ssh:\/\/host1\/system shutdown tintin; if nothing there uses it: ssh host1 lvchange --activate n virtVG\/tintin\.$/,
    )
  })

  test('held by a host that has not been seen for a while, and when its lock can be taken', async () => {
    const [a, b] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    await a.crash()
    ring().cluster.time.advance(60)
    assertRefused(
      await tintin.prepare(b),
      /held exclusively by host1, last alive (?:59|6\d) s ago/,
      /Make sure that host1 is off, which seems to be down; then its lock can be taken in about (?:7\d|8\d) s: start tintin again then/,
    )
  })

  test('held shared by two hosts, of which this is one', async () => {
    const [a, b] = ring().hosts
    await ring().volume('tintin')
    a.act('lvchange -asy virtVG/tintin')
    b.act('lvchange -asy virtVG/tintin')
    assertRefused(await tintin.prepare(b), /virtVG\/tintin is held shared by host1/)
    await assertLocks(ring().hosts, 'tintin', ['sh', 'sh'])
  })

  test.each([
    ['stopped', /the locking of volume group virtVG is not started on this host/, /vgchange --lock-start virtVG/],
    ['starting', /the locking of volume group virtVG is still starting on this host/, /'in progress'/],
  ] as const)('locking %s', async (state, what, advice) => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    ring().cluster.locks.setLockspace(a.state, 'virtVG', state)
    assertRefused(await tintin.prepare(a), what, advice)
    assertPassed(await tintin.releaseRefused(a))
  })

  test('lvmlockd down', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    await a.killLocking()
    assertRefused(await tintin.prepare(a), /lvmlockd is not running on this host/, /systemctl start lvmlockd lvmlocks/)
  })

  test('volume missing, VG missing', async () => {
    const [a] = ring().hosts
    assertRefused(
      await vmOn('virtVG', 'nope').prepare(a),
      /there is no logical volume virtVG\/nope/,
      /virsh domblklist nope/,
    )
    assertRefused(
      await new Vm('milou', [{ path: '/dev/goneVG/x' }]).prepare(a),
      /there is no volume group goneVG on this host \(disk vda\)/,
      /pvs --all/,
    )
  })

  test.each<[string, string, RegExp, RegExp]>([
    [
      'a foreign system ID',
      'Cannot access VG virtVG with system ID node9 with local system ID host1.',
      /LVM gives no access to volume group virtVG: 'Cannot access VG virtVG with system ID node9 with local system ID host1\.'/,
      /vgs --foreign -o \+systemid virtVG/,
    ],
    [
      'an exported volume group',
      'Volume group virtVG is exported',
      /LVM gives no access to volume group virtVG: 'Volume group virtVG is exported'/,
      /vgimport virtVG/,
    ],
  ])('%s, in LVM’s own words', async (_what, words, what, advice) => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.faults.answer('lvchange', { code: 5, stderr: `  ${words}\n  ${words}\n` })
    const result = await tintin.prepare(a)
    assertRefused(result, what, advice)
    expect(result.stderr).not.toMatch(/more:/)
  })

  test('a volume that only lvchange finds missing: which disk it is, for a start and for a migration', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.faults.answer('lvchange', { code: 5, stderr: '  Failed to find logical volume "virtVG/tintin"\n' })
    assertRefused(await tintin.prepare(a), /there is no logical volume virtVG\/tintin \(disk vda\)/)
    await announceAgent(a)
    a.faults.answer('lvchange', { code: 5, stderr: '  Failed to find logical volume "virtVG/tintin"\n' })
    assertRefused(await tintin.migrate(a), /there is no logical volume virtVG\/tintin \(disk vda\)/)
  })

  test('a stop that something keeps from its end: what has the volume open', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    a.open('virtVG/tintin')
    assertRefused(
      await tintin.release(a),
      /virtVG\/tintin stays active and locked on this host: it is still in use here, opened once\./,
      /When nothing uses it any more: lvchange --activate n virtVG\/tintin/,
    )
    a.close('virtVG/tintin')
    assertPassed(await tintin.release(a))
  })

  test('open here', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.act('lvchange -aey virtVG/tintin')
    a.open('virtVG/tintin')
    assertRefused(
      await tintin.prepare(a),
      /virtVG\/tintin is in use on this host: opened once/,
      /End that use, then start tintin again/,
    )
    a.close('virtVG/tintin')
  })

  test('a thin volume in a migration', async () => {
    const [a, b] = ring().hosts
    await ring().volume('pool', { kind: { kind: 'thin-pool' } })
    await ring().volume('thin', { kind: { kind: 'thin', pool: 'pool' } })
    const thin = vmOn('virtVG', 'thin')
    assertPassed(await thin.prepare(a))
    assertRefused(
      await thin.migrate(b),
      /virtVG\/thin cannot be shared, as a live migration needs \(LV type thin,sparse\)/,
      /start it on the other host instead/,
    )
    assertRefused(await thin.prepare(b), /virtVG\/pool is held exclusively by host1/)
  })

  test('a volume that LVM activates without a lock', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin', { lockArgs: false })
    assertRefused(
      await tintin.prepare(a),
      /LVM activated virtVG\/tintin but lvmlockd holds no lock for it/,
      /lv_lockargs/,
    )
    expect(a.act('dmsetup info -c --noheadings -o name').stdout).not.toContain('tintin')
  })

  test('a message of LVM that nobody knows is shown as it is', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.faults.answer('lvchange', { code: 5, stderr: '  The moon is in the wrong house.\n' })
    assertRefused(await tintin.prepare(a), /LVM says 'The moon is in the wrong house\.'/)
  })
})
