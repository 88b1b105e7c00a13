/** What an administrator sees of two hosts: the leases as sanlock really writes them, read without a lock. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { announceAgent, assertPassed, vmOn } from '../scenarios/vm.ts'
import type { LocksHost } from './host.ts'
import { LocksRing, available } from './ring.ts'

const reason = await available()
const tintin = vmOn('virtVG', 'tintin')
const milou = vmOn('virtVG', 'milou')

/** As libvirt writes it for a VM that runs. */
const runs = (vm: typeof tintin, host: LocksHost, job = ''): Promise<void> =>
  host.write(
    `/run/libvirt/qemu/${vm.name}.xml`,
    `<domstatus state='running' reason='booted' pid='${process.pid}'>${job}\n${vm.xml({ aliases: true })}</domstatus>\n`,
  )

/** What does not change from one look to the next. */
const still = (text: string): string => text.replaceAll(/\d+ s ago/g, 'N s ago').replaceAll(/seen=\d+s/g, 'seen=Ns')

describe.skipIf(reason !== undefined)(
  reason === undefined ? 'status and holders on real locks' : `status and holders on real locks: ${reason}`,
  () => {
    let ring: LocksRing
    let a: LocksHost
    let b: LocksHost
    beforeAll(async () => {
      ring = await LocksRing.create()
      ;[a, b] = ring.hosts
      for (const name of ['tintin', 'milou', 'iso', 'spare']) await ring.volume(name)
      assertPassed(await tintin.prepare(a))
      assertPassed(await milou.prepare(b))
      await runs(tintin, a)
      await runs(milou, b)
      await a.write('/etc/libvirt/qemu/milou.xml', milou.xml())
      await a.must('lvchange', '-asy', 'virtVG/iso')
      await b.must('lvchange', '-asy', 'virtVG/iso')
      for (const host of [a, b]) await announceAgent(host)
      // Each host looks at the others' leases every 2 s here.
      while (!(await a.program(['status'])).stdout.includes('host2 (host_id 2, alive'))
        await new Promise((resolve) => setTimeout(resolve, 500))
    })
    afterAll(() => ring?.close())

    test('VMs of this host by name, and what the other one holds, with the VM that a definition here names', async () => {
      // With an io_timeout of 1 s a lease is late for a moment now and then.
      const asked = async () => {
        const { code, stdout, stderr } = await a.program(['status'])
        return `${code} ${stderr}${still(stdout)}`
      }
      await expect.poll(asked, { timeout: 20_000 }).toBe(`0 \
host1: 1 thing to look at
virtVG: locking started (sanlock, host_id 1, lease renewed N s ago)

host1
  VM      STATE    VOLUME         MODE
  tintin  running  virtVG/tintin  exclusive
  -                virtVG/iso     shared

host2 (host_id 2, alive, seen N s ago)
  VM     VOLUME        MODE
  -      virtVG/iso    shared
  milou  virtVG/milou  exclusive

free: virtVG/spare
! virtVG/iso is locked here, and no VM here uses it
`)
      // Without the definition the other host still says who, but not which VM.
      expect((await b.program(['status', 'virtVG/tintin'])).stdout).toMatch(
        /host1 \(host_id 1, alive[^\n]*\n.*VM[^\n]*\n {2}- +virtVG\/tintin {2}exclusive$/ms,
      )
    })

    test('no lock is taken, and no lease changed', async () => {
      const dump = () => a.must('sanlock', 'direct', 'dump', '/dev/mapper/virtVG-lvmlock:67108864:20971520')
      const before = await dump()
      await a.program(['status'])
      await a.program(['holders', 'virtVG/tintin'])
      expect(await dump()).toBe(before)
    })

    test('holders, a line each, and none for what does not exist', async () => {
      const asked = await b.program(['holders', 'virtVG/tintin', '/dev/virtVG/iso'])
      expect({ ...asked, stdout: still(asked.stdout).split('\n').sort() }).toEqual({
        code: 0,
        stderr: '',
        stdout: [
          '',
          'virtVG/iso shared host1 seen=Ns takeable=when-released',
          'virtVG/iso shared host2 seen=Ns takeable=when-released',
          'virtVG/tintin exclusive host1 seen=Ns takeable=when-released',
        ],
      })
      expect(await b.program(['holders', 'virtVG/spare'])).toEqual({
        code: 0,
        stderr: '',
        stdout: 'virtVG/spare free - seen=- takeable=now\n',
      })
      expect(await b.program(['holders', 'virtVG/nope'])).toMatchObject({
        code: 1,
        stdout: '',
        stderr: expect.stringContaining('there is no volume virtVG/nope'),
      })
    })

    test('JSON says the same', async () => {
      const asked = async () => JSON.parse((await a.program(['status', '--json'])).stdout)
      // Its lease is late for a moment now and then, as above.
      await expect.poll(asked, { timeout: 20_000 }).toMatchObject({
        format: 1,
        agent: 'runs',
        vgs: [{ vg: 'virtVG', locking: 'started', hostId: 1 }],
        hosts: [
          { host: 'host1', state: 'this host' },
          { host: 'host2', state: 'alive' },
        ],
        unknown: [],
      })
      const { volumes } = await asked()
      expect(volumes.find(({ lv }: { lv: string }) => lv === 'milou')).toMatchObject({
        state: 'held',
        vms: ['milou'],
        holders: [{ host: 'host2', here: false, mode: 'exclusive' }],
      })
    })

    test('while a VM migrates both hosts are seen to share its volume', async () => {
      await runs(tintin, a, "\n<job type='none' async='migration out' phase='begin3' flags='0x109'/>")
      await a.must('lvchange', '-asy', 'virtVG/tintin')
      await b.must('lvchange', '-asy', 'virtVG/tintin')
      const { stdout } = await a.program(['status', 'tintin'])
      expect(stdout).toMatch(/tintin {2}migrating out {2}virtVG\/tintin {2}shared$/m)
      expect(stdout).toMatch(/host2 \(.*\n.*\n {2}(?:tintin|-) +virtVG\/tintin {2}shared$/m)
      await b.must('lvchange', '-an', 'virtVG/tintin')
      await a.must('lvchange', '-aey', 'virtVG/tintin')
      await runs(tintin, a)
    })

    test('sanlock itself says the same of each lease as the one look at all of them', async () => {
      const report = await a.must('lvs', '--nolocking', '--noheadings', '-o', 'lv_name,lv_uuid,lv_lockargs', 'virtVG')
      for (const [, lv, uuid, offset] of report.matchAll(/^ *(\S+) +(\S+) +1\.0\.0:(\d+)/gm)) {
        const dump = await a.must('sanlock', 'direct', 'dump', `/dev/mapper/virtVG-lvmlock:${offset}:1048576`)
        const [, stamp = '', owner = ''] = new RegExp(`${uuid} (\\d+) (\\d+) `).exec(dump) ?? []
        const sharers = [...dump.matchAll(/^ +(\d{4}) \d{4} SH$/gm)].map(([, id]) => `shared ${Number(id)}`)
        const { volumes } = JSON.parse((await b.program(['holders', '--json', `virtVG/${lv}`])).stdout)
        const told = volumes[0].holders
          .map(({ mode, hostId }: { mode: string; hostId: number }) => `${mode} ${hostId}`)
          .sort()
        expect([lv, told]).toEqual([lv, Number(stamp) === 0 ? sharers : [`exclusive ${Number(owner)}`]])
      }
    })

    test('an lvmlockd that is dead: the leases tell, what is unknown is named, and it is no all-clear', async () => {
      await a.killLocking()
      const { code, stdout } = await a.program(['status'])
      expect(code).toBe(3)
      expect(stdout).toContain('? the locks of this host: lvmlockd does not answer')
      expect(stdout).toMatch(/tintin {2}running {2}virtVG\/tintin {2}exclusive$/m)
      expect((await a.program(['holders', 'virtVG/milou'])).stdout).toMatch(/^virtVG\/milou exclusive host2 /)
      await a.restartLocking()
    })

    test('a lease disk that cannot be read: unknown, and not free', async () => {
      await a.must('mv', '/dev/mapper/virtVG-lvmlock', '/dev/mapper/away')
      try {
        const { code, stdout } = await a.program(['status'])
        expect(code).toBe(3)
        expect(stdout).toMatch(/^\? the leases of virtVG: /m)
        expect(stdout).toContain('unknown who holds:')
        expect(stdout).not.toContain('free:')
        expect(await a.program(['holders', 'virtVG/spare'])).toMatchObject({
          code: 3,
          stdout: 'virtVG/spare unknown - seen=unknown takeable=unknown\n',
        })
      } finally {
        await a.must('mv', '/dev/mapper/away', '/dev/mapper/virtVG-lvmlock')
      }
    })
  },
)
