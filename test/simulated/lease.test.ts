import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { fakeQemu } from '../support/fake-qemu.ts'
import { qcow2 } from '../support/qcow2.ts'
import { Agent, until } from './agent.ts'
import type { SimulatedHost } from './host.ts'
import { Libvirt } from './libvirt.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const tintin = vmOn('virtVG', 'tintin')

const lost = (age: number, failed = age >= 80 ? 1 : 0): string => {
  const [seconds] = process.hrtime()
  return `daemon host1\n    use_watchdog=0\n    monotime=${seconds}\ns lvm_virtVG:1:/dev/mapper/virtVG-lvmlock:0\n    list=spaces\n    io_timeout=10\n    renew_fail=${failed}\n    renewal_last_success=${seconds - age}\n`
}

/**
 * sanlock of this host says from now on that its lease is so old; dmsetup wipes, if it may. @returns the devices that
 * were wiped
 */
function lease(host: SimulatedHost, age: number): string[] {
  const wiped: string[] = []
  host.faults.answer('sanlock', ({ words }) => ({
    code: words[1] === 'status' ? 0 : 1,
    stdout: words[1] === 'status' ? lost(age) : '',
    stderr: '',
  }))
  host.faults.answer('dmsetup', ({ words }) => {
    const name = words.at(-1) ?? ''
    if (words[0] === 'wipe_table') {
      const node = host.root
        .list('/sys/block')
        .find((each) => host.root.read(`/sys/block/${each}/dm/name`)?.trim() === name)
      host.root.empty(`/sys/block/${node}/slaves`)
      wiped.push(name)
    }
    return {
      code: 0,
      stdout: words[0] === 'table' ? wiped.map((each) => `${each}: 0 16384 error \n`).join('') : '',
      stderr: '',
    }
  })
  return wiped
}

async function running(qemu: { readonly pid: number }) {
  const [a] = ring().hosts
  await ring().volume('tintin')
  const libvirt = new Libvirt(a)
  libvirt.startDaemon()
  assertPassed(await tintin.prepare(a))
  libvirt.put(tintin, { pid: qemu.pid })
  return { a, libvirt, agent: await Agent.start(ring(), a) }
}

describe('the lease is lost', () => {
  test('the agent kills the VM past libvirt, wipes its device, and has lvmlockd drop its locks; nothing starts on the VG, and nothing of it is changed', async () => {
    const qemu = fakeQemu(tintin.uuid)
    const { a, libvirt, agent } = await running(qemu)
    const wiped = lease(a, 85)
    await until(qemu.ended)
    await until(() => agent.said(/<2>virtVG: cut off\. Nothing here can write on it any more/).length === 1)
    expect(wiped).toEqual(['virtVG-tintin'])
    expect(
      agent.said(/<2>tintin was killed here \(process \d+\): this host has lost its lease on virtVG/),
    ).toHaveLength(1)
    expect(JSON.parse((await a.read('/run/lvguard/virtVG.killed')) ?? '{}')).toMatchObject({
      by: 'sanlock',
      state: 'clear',
      disks: ['vdb'],
      killed: [{ name: 'tintin', pid: qemu.pid, volumes: ['virtVG/tintin'] }],
    })
    await until(() =>
      ring()
        .log.commands(a.name, 'lvmlockctl')
        .some(({ line }) => line.includes('--drop virtVG')),
    )
    expect(await a.read('/proc/sysrq-trigger')).toBeUndefined()
    libvirt.remove(tintin)
    const before = ring().log.commands(a.name, 'lvchange').length
    assertPassed(await tintin.release(a))
    await agent.passTwice()
    await assertRefused(await tintin.prepare(a), /the VMs of volume group virtVG were cut off on this host/)
    expect(ring().log.commands(a.name, 'lvchange').length).toBe(before)
  })

  test('the same while the agent itself waits for a file that does not answer; and what it says', async () => {
    const qemu = fakeQemu(tintin.uuid)
    const { a, agent } = await running(qemu)
    // As on a disk that hangs: who opens it waits.
    await a.write('/etc/libvirt/lvguard.conf', undefined)
    execFileSync('mkfifo', [a.root.at('/etc/libvirt/lvguard.conf')])
    process.kill(agent.pid, 'SIGHUP')
    const beat = async (): Promise<string | undefined> => (await a.read('/run/lvguard/agent'))?.split(' ')[2]
    await until(async () => {
      const before = await beat()
      await new Promise((resolve) => setTimeout(resolve, 6000))
      return before === (await beat())
    })
    const wiped = lease(a, 85)
    await until(qemu.ended)
    await until(() => agent.said(/<2>virtVG: cut off\. Nothing here can write on it any more/).length === 1)
    expect(wiped).toEqual(['virtVG-tintin'])
    await until(() =>
      ring()
        .log.commands(a.name, 'lvmlockctl')
        .some(({ line }) => line.includes('--drop virtVG')),
    )
    expect(agent.said(/has no thread of its own/)).toEqual([])
  })

  test('a process that is no QEMU of it lives on', async () => {
    const other = fakeQemu(tintin.uuid, '/usr/bin/postgres')
    const { a, agent } = await running(other)
    lease(a, 85)
    await until(() => agent.said(/virtVG: cut off/).length === 1)
    expect(other.ended()).toBe(false)
    expect(agent.said(/was killed here/)).toEqual([])
  })

  test('one that is late is said, and nothing is done', async () => {
    const qemu = fakeQemu(tintin.uuid)
    const { a, agent } = await running(qemu)
    lease(a, 45)
    await until(
      () =>
        agent.said(
          /<2>virtVG: this host has not renewed its lease for 4\d s: .* In 3\d s it is lost, and these VMs are killed here: tintin/,
        ).length === 1,
    )
    expect([qemu.ended(), await a.list('/run/lvguard').then((names) => names.includes('virtVG.killed'))]).toEqual([
      false,
      false,
    ])
  })
})

describe('a VG that is cut off while a start takes its locks', () => {
  const MARK = '/run/lvguard/virtVG.killed'

  test('given back, and refused', async () => {
    const [a] = ring().hosts
    await ring().volume('tintin')
    a.faults.after('lvchange', () => void a.write(MARK, ''), 1)
    assertRefused(await tintin.prepare(a), /the VMs of volume group virtVG were cut off on this host/)
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
    await a.write(MARK, undefined)
    assertPassed(await tintin.prepare(a))
  })

  test('and those of its backing file: both are given back', async () => {
    const [a] = ring().hosts
    await ring().volume('golden')
    await ring().volume('tintin')
    ring().fill('virtVG/golden', qcow2({}))
    ring().fill('virtVG/tintin', qcow2({ backing: '/dev/virtVG/golden', format: 'qcow2' }))
    const overlay = new Vm('tintin', [{ path: '/dev/virtVG/tintin', inside: "<driver name='qemu' type='qcow2'/>" }])
    a.faults.after('lvchange', () => void a.write(MARK, ''), 2)
    assertRefused(await overlay.prepare(a), /the VMs of volume group virtVG were cut off on this host/)
    for (const name of ['golden', 'tintin']) await assertLocks(ring().hosts, name, ['none', 'none'])
    await a.write(MARK, undefined)
  })
})

describe('a VM on two VGs, of which one is cut off', () => {
  const MARK = '/run/lvguard/localVG.killed'
  const both = new Vm('tintin', [{ path: '/dev/virtVG/tintin' }, { path: '/dev/localVG/data' }])
  const recordOf = async (host: SimulatedHost): Promise<unknown> =>
    JSON.parse((await host.read(`/run/lvguard/${both.uuid}.json`)) ?? 'null')

  async function started(): Promise<SimulatedHost> {
    const [a] = ring().hosts
    await a.write('/etc/libvirt/lvguard.conf', 'local_volume_groups = "activate"\n')
    await ring().volume('tintin')
    await ring().volume('data', { vg: 'localVG' })
    assertPassed(await both.prepare(a))
    await a.write(MARK, '')
    return a
  }
  const isUp = (host: SimulatedHost): boolean =>
    host.act('dmsetup info -c --noheadings -o name').stdout.includes('localVG-data')

  test('its release gives back the volumes of the other, and keeps those of this one on record', async () => {
    const a = await started()
    expect(await both.release(a)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/localVG was cut off here: its volumes are released when that is over/),
    })
    await assertLocks(ring().hosts, 'tintin', ['none', 'none'])
    expect([isUp(a), await recordOf(a)]).toEqual([
      true,
      expect.objectContaining({
        state: 'releasing',
        volumes: [expect.objectContaining({ vg: 'localVG', lv: 'data' })],
      }),
    ])
    // Once more, as libvirt does: nothing of it is touched.
    assertPassed(await both.release(a))
    expect(isUp(a)).toBe(true)
    await a.write(MARK, undefined)
    assertPassed(await both.release(a))
    expect([isUp(a), await recordOf(a)]).toEqual([false, null])
  })

  test('so does the agent, where its release came to nothing, and gives back the rest when the mark has gone', async () => {
    const a = await started()
    await a.write(
      `/run/lvguard/${both.uuid}.json`,
      JSON.stringify({ ...((await recordOf(a)) as object), state: 'releasing' }),
    )
    new Libvirt(a).startDaemon()
    const agent = await Agent.start(ring(), a)
    await until(async () => (await a.lock('tintin')) === 'none')
    await agent.passTwice()
    expect([isUp(a), await recordOf(a)]).toEqual([
      true,
      expect.objectContaining({
        state: 'releasing',
        volumes: [expect.objectContaining({ vg: 'localVG', lv: 'data' })],
      }),
    ])
    await a.write(MARK, undefined)
    await agent.passTwice()
    await until(() => !isUp(a))
    await until(async () => (await recordOf(a)) === null)
  })
})

describe('lvguard kill', () => {
  test('by hand, without a terminal: it kills, wipes, says so and exits with 0; recover is a person’s', async () => {
    const qemu = fakeQemu(tintin.uuid)
    const { a } = await running(qemu)
    const wiped = lease(a, 5)
    const { code, stderr } = await a.program(['kill', 'virtVG'])
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(
        /lvguard: tintin was killed here .*: virtVG is cut off\n.*virtVG: cut off\. Nothing here can write/,
      ),
    ])
    expect([qemu.ended(), wiped]).toEqual([true, ['virtVG-tintin']])
    expect(JSON.parse((await a.read('/run/lvguard/virtVG.killed')) ?? '{}')).toMatchObject({
      by: 'person',
      state: 'clear',
    })
  })

  test('a name that no VG can have, and a VG that was never cut off', async () => {
    const [a] = ring().hosts
    expect(await a.program(['kill', '../x'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no volume group can be called \.\.\/x; nothing was changed/),
    })
    expect(await a.program(['recover', 'virtVG'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/virtVG was not cut off on this host/),
    })
    expect(await a.list('/run/lvguard')).not.toContain('../x.killed')
  })

  test('recover, without a mark: a lockspace that sanlock has left by itself is dropped, and started again', async () => {
    const [a] = ring().hosts
    const did: string[] = []
    const [seconds] = process.hrtime()
    const daemon = `daemon host1\n    use_watchdog=0\n    monotime=${seconds}\n`
    a.faults.answer('sanlock', () => ({ code: 0, stdout: did.includes('lock-start') ? lost(1) : daemon, stderr: '' }))
    a.faults.answer('lvmlockctl', ({ words }) => {
      if (words[0] === '--drop') did.push('drop')
      return { code: 0, stdout: did.includes('drop') ? '' : 'LS sanlock lvm_virtVG\n', stderr: '' }
    })
    a.faults.answer('vgchange', () => {
      did.push('lock-start')
      return { code: 0, stdout: '', stderr: '' }
    })
    expect(await a.program(['recover', 'virtVG'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/virtVG can be used here again; no VM was killed/),
    })
    expect(did).toEqual(['drop', 'lock-start'])
  })

  test('a VG that is not here, without a terminal and with --yes: refused, and nothing is marked', async () => {
    const [a] = ring().hosts
    for (const words of [
      ['kill', 'otherVG'],
      ['kill', '--yes', 'otherVG'],
      ['kill', '--drop', 'otherVG'],
    ]) {
      expect(await a.program(words)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(
          /there is nothing of a shared volume group otherVG on this host; nothing was changed/,
        ),
      })
    }
    expect(await a.list('/run/lvguard')).not.toContain('otherVG.killed')
  })
})
