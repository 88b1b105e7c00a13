import { describe, expect, test } from 'vitest'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const tintin = vmOn('virtVG', 'tintin')
const recordOf = (vm: Vm): string => `/run/lvguard/${vm.uuid}.json`

/** A command without what tells LVM in which form to answer (src/lvm/words.ts). */
const withoutForm = (line: string): string => line.replace(/ --config .*(?= --yes)/, '')

describe('what happens between the lines of a prepare', () => {
  test('lvmlockd dies after lvchange: refused, and the release that follows gives the volume back once it lives again', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.faults.after(/^lvchange .*ey/, () => a.killLocking())
    assertRefused(await tintin.prepare(a), /lvmlockd is not running/)
    a.faults.clear()
    await a.restartLocking()
    assertPassed(await tintin.releaseRefused(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('lvmlockd dies before lvchange: refused, nothing left', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.faults.before('lvchange', () => a.killLocking(), 1)
    assertRefused(await tintin.prepare(a), /lvmlockd is not running/)
    await a.restartLocking()
    assertPassed(await tintin.releaseRefused(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('the program is killed while its lvchange works: the VG stays locked until it has ended, and release finds the volume', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    const gate = a.faults.block(/^lvchange .*ey/)
    const killed = a.startHook({ name: 'tintin', operation: 'prepare', xml: tintin.xml() })
    await gate.reached
    killed.kill('SIGKILL')
    const isLocked = async (): Promise<boolean> =>
      (await a.run('flock', '-n', a.root.at('run/lvguard/virtVG.lock'), 'true')).code === 1
    expect(await isLocked()).toBe(true)
    const milou = new Vm('milou', tintin.disks).prepare(a)
    gate.open()
    assertRefused(await milou, /virtVG\/tintin is used by the VM tintin/)
    expect(await isLocked()).toBe(false)
    assertPassed(await tintin.releaseRefused(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('one lvchange per mode, with lvs beside it', async () => {
    const [a] = ring().hosts
    for (const name of ['root', 'data', 'iso']) await ring().volume(name)
    const gate = a.faults.block('lvs')
    const vm = new Vm('tintin', [
      { path: '/dev/virtVG/root' },
      { path: '/dev/virtVG/data' },
      { path: '/dev/virtVG/iso', inside: '<readonly/>' },
    ])
    const changed = a.faults.block(/^lvchange .*sy/, { when: 'after' })
    const prepared = vm.prepare(a)
    // Both lvchange are through before lvs has answered.
    await changed.reached
    gate.open()
    changed.open()
    assertPassed(await prepared)
    expect(ring().log.lines('host1', 'lvchange').map(withoutForm)).toEqual([
      'lvchange --yes --activate ey --ignoreactivationskip -- virtVG/root virtVG/data',
      'lvchange --yes --activate sy --ignoreactivationskip -- virtVG/iso',
    ])
  })
})

describe('what happens between the lines of a release', () => {
  test('in use: tried again for two seconds, left on record, said, and given back by the next release', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    a.open('virtVG/tintin')
    assertRefused(
      await tintin.release(a),
      /tintin has ended, but virtVG\/tintin stays active and locked on this host: it is still in use here, /,
      /lvchange --activate n virtVG\/tintin/,
    )
    expect(
      ring()
        .log.lines('host1', 'lvchange')
        .filter((line) => line.includes('--activate n')).length,
    ).toBeGreaterThan(2)
    expect(JSON.parse((await a.read(recordOf(tintin))) ?? '')).toMatchObject({
      state: 'releasing',
      volumes: [{ lv: 'tintin' }],
    })
    a.close('virtVG/tintin')
    assertPassed(await tintin.release(a))
    expect(await a.read(recordOf(tintin))).toBeUndefined()
  })

  test('in use for a moment only: given back', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    a.open('virtVG/tintin')
    a.faults.after(/^lvchange .*--activate n/, () => a.close('virtVG/tintin'), 2)
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('an lvchange that exits 0 and leaves the lock is found out', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    a.faults.answer(/^lvchange .*--activate n/, {
      code: 0,
      stderr: '  LV virtVG/tintin lock failed: error -211\n  Failed to unlock logical volume virtVG/tintin.\n',
    })
    assertRefused(await tintin.release(a), /stays active and locked/)
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
    a.faults.clear()
    assertPassed(await tintin.release(a))
  })

  test('an lvchange that does not end: release ends without it, and it goes on', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    const gate = a.faults.block(/^lvchange .*--activate n/)
    const running = a.startHook({ name: 'tintin', operation: 'release', xml: tintin.xml({ aliases: true }) })
    const result = await running.result
    assertRefused(result, /LVM is still at work on it/)
    gate.open()
    // It waits for the lvchange that is still at work, and finds nothing left to do.
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('needs no lvs', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    ring().log.clear()
    assertPassed(await tintin.release(a))
    expect(ring().log.lines('host1', 'lvs')).toEqual([])
  })

  test('a domain that ran before lvguard was installed gives its volumes back', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.act('lvchange -aey virtVG/tintin')
    assertPassed(await tintin.release(a))
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
  })

  test('a domain without a record whose XML shows that its prepare never passed gives nothing back', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.act('lvchange -aey virtVG/tintin')
    assertPassed(await tintin.releaseRefused(a))
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
  })

  test('a domain that runs, says its status file, keeps its volumes', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    assertPassed(await tintin.prepare(a))
    await a.write(
      '/run/libvirt/qemu/tintin.xml',
      `<domstatus state='running' reason='booted' pid='0'>\n  <domain type='qemu' id='1'>\n    <uuid>${tintin.uuid}</uuid>\n  </domain>\n</domstatus>\n`,
    )
    assertRefused(
      await tintin.release(a),
      /virtVG\/tintin stays active and locked on this host: its status file says that it runs/,
    )
    await a.write('/run/libvirt/qemu/tintin.xml', undefined)
    await assertLocks(ring().hosts, 'tintin', ['ex', 'none'])
  })
})

describe('a volume group without a lock manager', () => {
  const local = new Vm('tintin', [{ path: '/dev/localVG/data' }, { path: '/dev/virtVG/tintin' }])

  test('is left alone', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    await ring().volume('data', { vg: 'localVG' })
    assertPassed(await local.prepare(a))
    expect(ring().log.lines('host1', 'lvchange').map(withoutForm)).toEqual([
      'lvchange --yes --activate ey --ignoreactivationskip -- virtVG/tintin',
    ])
    assertPassed(await local.release(a))
  })

  test('or activated and deactivated with its domain', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    await ring().volume('data', { vg: 'localVG' })
    await a.write('/etc/libvirt/lvguard.conf', 'local_volume_groups = "activate"\n')
    assertPassed(await local.prepare(a))
    expect(a.act('dmsetup info -c --noheadings -o name').stdout).toContain('localVG-data')
    assertPassed(await local.release(a))
    expect(a.act('dmsetup info -c --noheadings -o name').stdout).not.toContain('localVG-data')
  })
})

describe('many at once', () => {
  test('lvmlockctl answers one at a time: ten starts on one host all pass', async () => {
    const [a] = ring().hosts
    let running = 0
    a.faults.answer('lvmlockctl', async (_command, perform) => {
      if (running > 0) return { code: 158, stdout: '', stderr: 'socket error -98\n' }
      running++
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return perform()
    })
    const names = Array.from({ length: 10 }, (_, index) => `vm${index}`)
    for (const name of names) await ring().volume(name)
    for (const result of await Promise.all(names.map((name) => vmOn('virtVG', name).prepare(a)))) assertPassed(result)
    for (const name of names) await assertLocks(ring().hosts, name, ['ex', 'none'])
  })
})
