/** `lvguard check` on real locks: what real lvm2, lvmlockd and sanlock say of a mistake is found. */
import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { announceAgent, vmOn } from '../scenarios/vm.ts'
import type { LocksHost } from './host.ts'
import { LocksRing, available } from './ring.ts'

const reason = await available()
const BUILT = fileURLToPath(new URL('../../dist/qemu', import.meta.url))
const COMMAND = '/run/bin/lvguard'

interface Told {
  readonly format: number
  readonly result: string
  readonly findings: readonly { readonly code: string; readonly severity: string; readonly what: string }[]
}

describe.skipIf(reason !== undefined)(
  reason === undefined ? 'check on real locks' : `check on real locks: ${reason}`,
  () => {
    let ring: LocksRing
    let a: LocksHost
    beforeAll(async () => {
      ring = await LocksRing.create()
      ;[a] = ring.hosts
      await ring.volume('tintin')
      await a.must('mkdir', '-p', '/run/bin', '/etc/libvirt/hooks')
      await a.must('ln', '-s', BUILT, COMMAND)
      await a.must('cp', BUILT, '/etc/libvirt/hooks/qemu')
      await announceAgent(a)
    })
    afterAll(() => ring?.close())

    const found = async (): Promise<Told['findings']> => {
      const told = JSON.parse((await a.program(['check', '--json'])).stdout) as Told
      expect(told.format).toBe(1)
      return told.findings
    }
    const codes = async (): Promise<string[]> => [...new Set((await found()).map(({ code }) => code))]
    /**
     * What is so on this machine, whatever a test does: no watchdog, its own name, systemd and journal if they are not
     * there.
     */
    const OF_THIS_MACHINE = [
      'LVG101',
      'LVG108',
      'LVG110',
      'LVG111',
      'LVG112',
      'LVG114',
      'LVG115',
      'LVG405',
      'LVG406',
      'LVG502',
      'LVG503',
      'LVG505',
      'LVG506',
      'LVG507',
    ]
    const others = async (): Promise<string[]> => (await codes()).filter((code) => !OF_THIS_MACHINE.includes(code))

    test('of a host where locks, LVM and hook are as they should be nothing is said but what is true', async () => {
      expect(await others()).toEqual([])
      expect((await found()).find(({ code }) => code === 'LVG101')?.what).toMatch(/sanlock runs without a watchdog/)
    })

    test.each<[mistake: string, code: string, make: string, undo: string]>([
      [
        'a volume that is active, and used by no VM',
        'LVG205',
        'lvchange -aey virtVG/tintin',
        'lvchange -an virtVG/tintin',
      ],
      [
        'a volume that is autoactivated',
        'LVG204',
        'lvchange --setautoactivation y virtVG/tintin',
        'lvchange --setautoactivation n virtVG/tintin',
      ],
      [
        'guests are scanned',
        'LVG202',
        "echo 'devices { scan_lvs = 1 }' >> /etc/lvm/lvmlocal.conf",
        "sed -i '/scan_lvs/d' /etc/lvm/lvmlocal.conf",
      ],
      [
        'another host_id',
        'LVG106',
        "sed -i 's/host_id = 1/host_id = 7/' /etc/lvm/lvmlocal.conf",
        "sed -i 's/host_id = 7/host_id = 1/' /etc/lvm/lvmlocal.conf",
      ],
      [
        'LVM without its lock daemon',
        'LVG109',
        "sed -i 's/use_lvmlockd = 1/use_lvmlockd = 0/' /etc/lvm/lvm.conf",
        "sed -i 's/use_lvmlockd = 0/use_lvmlockd = 1/' /etc/lvm/lvm.conf",
      ],
      ['no global lock', 'LVG113', 'lvmlockctl --gl-disable virtVG', 'lvmlockctl --gl-enable virtVG'],
      ['a hook that cannot be run', 'LVG401', 'chmod 644 /etc/libvirt/hooks/qemu', 'chmod 755 /etc/libvirt/hooks/qemu'],
      [
        'an older hook',
        'LVG402',
        "sed -i 's/^\\(\\/\\/ lvguard [0-9.]*, sources \\)./\\1_/' /etc/libvirt/hooks/qemu",
        `cp ${BUILT} /etc/libvirt/hooks/qemu`,
      ],
      [
        'a wrong configuration',
        'LVG407',
        "echo 'log_level = 5' > /etc/libvirt/lvguard.conf",
        'rm /etc/libvirt/lvguard.conf',
      ],
      [
        'a logical pool that is autostarted',
        'LVG208',
        'mkdir -p /etc/libvirt/storage/autostart; echo "<pool type=\'logical\'><name>virtVG</name><source><name>virtVG</name></source></pool>" > /etc/libvirt/storage/virtVG.xml; ln -s ../virtVG.xml /etc/libvirt/storage/autostart/virtVG.xml',
        'rm -r /etc/libvirt/storage',
      ],
      [
        "a kill command that is not lvguard's",
        'LVG117',
        'echo \'global { lvmlockctl_kill_command = "/bin/true" }\' >> /etc/lvm/lvmlocal.conf',
        "sed -i '/kill_command/d' /etc/lvm/lvmlocal.conf",
      ],
    ])('a mistake made on purpose: %s is %s', async (_, code, make, undo) => {
      await a.must('sh', '-c', make)
      try {
        expect(await others()).toContain(code)
      } finally {
        await a.must('sh', '-c', undo)
      }
      expect(await others()).not.toContain(code)
    })

    test('a mistake made on purpose: a second disk with the same PV is LVG201', async () => {
      const device = execFileSync('losetup', ['-f', '--show', '-r', join(ring.folder, 'disk')], {
        encoding: 'utf8',
      }).trim()
      try {
        const { rdev } = statSync(device)
        await a.must(
          'sh',
          '-c',
          'mknod /dev/pv2 b "$1" "$2"; cp /etc/lvm/lvm.conf /run/lvm.conf; sed "s/pv[$]|/pv2?$|/" /run/lvm.conf > /etc/lvm/lvm.conf',
          'sh',
          String(rdev >> 8),
          String(rdev & 255),
        )
        expect(await others()).toEqual(['LVG201'])
      } finally {
        await a.must('sh', '-c', 'cat /run/lvm.conf > /etc/lvm/lvm.conf; rm /dev/pv2')
        execFileSync('losetup', ['-d', device])
      }
      expect(await others()).toEqual([])
    })

    test('a VM on a volume that a policy leaves alone has neither record nor lock, and that is no finding', async () => {
      const runs = (metadata = ''): Promise<void> =>
        a.write(
          '/run/libvirt/qemu/tintin.xml',
          `<domstatus state='running' reason='booted' pid='0'>\n${vmOn('virtVG', 'tintin').xml({ aliases: true, metadata })}</domstatus>\n`,
        )
      const ofVms = async (): Promise<string[]> =>
        (await codes()).filter((code) => ['LVG403', 'LVG409'].includes(code)).sort()
      try {
        await runs()
        expect(await ofVms()).toEqual(['LVG403', 'LVG409'])
        await a.write('/etc/libvirt/lvguard.conf', 'policy = [ "virtVG/tintin = ignore" ]\n')
        expect(await ofVms()).toEqual([])
        await a.write('/etc/libvirt/lvguard.conf', undefined)
        await runs(
          '<metadata><p:policy xmlns:p="urn:lvguard:policy:1"><p:disk target="vda" mode="ignore"/></p:policy></metadata>\n',
        )
        expect(await ofVms()).toEqual([])
      } finally {
        for (const file of ['/run/libvirt/qemu/tintin.xml', '/etc/libvirt/lvguard.conf']) await a.write(file, undefined)
      }
    })

    test('lvmlockd that is dead is unknown, and no all-clear', async () => {
      await a.killLocking()
      expect((await found()).some(({ code, severity }) => code === 'LVG409' && severity === 'unknown')).toBe(true)
      await a.restartLocking()
    })

    test('first line, quiet, exit status, and a file for Prometheus', async () => {
      const { code, stdout } = await a.run(COMMAND, 'check', '--quiet', '--prometheus', '/run/lvguard.prom')
      expect(stdout).toMatch(
        /^LVGUARD (?:WARNING|CRITICAL) - [^\n|]+LVG101[^\n|]* \| critical=\d+ warning=\d+ unknown=\d+\n$/,
      )
      expect(code).toBe(stdout.includes('CRITICAL') ? 2 : 1)
      expect(await a.read('/run/lvguard.prom')).toMatch(/^lvguard_findings\{code="LVG101"\} 1$/m)
      expect(await a.list('/run')).not.toContainEqual(expect.stringMatching(/^\.lvguard\.prom/))
    })

    test('mute leaves a code out, and says that it does', async () => {
      await a.write('/etc/libvirt/lvguard.conf', 'mute = [ "LVG101" ]\n')
      const { stdout } = await a.program(['check'])
      expect(stdout).toMatch(/\(1 muted\)/)
      expect(stdout).not.toMatch(/^LVG101/m)
      await a.write('/etc/libvirt/lvguard.conf', undefined)
    })

    test('for the journal only what changes, with its priority', async () => {
      const run = async () => (await a.program(['check', '--changes'])).stderr
      expect(await run()).toMatch(/^<4>LVG101 warning: /m)
      // A renewal may be late or slow for a moment here.
      const noise = (text: string): string =>
        text
          .split('\n')
          .filter((line) => !/LVG11[45]/.test(line))
          .join('\n')
      expect(noise(await run())).toBe('')
      await a.must('lvchange', '-aey', 'virtVG/tintin')
      expect(noise(await run())).toMatch(
        /^<4>LVG205 warning: active here, and used by no VM of this host[^\n]*virtVG\/tintin\. lvchange -an virtVG\/tintin[^\n]*\n$/,
      )
      await a.must('lvchange', '-an', 'virtVG/tintin')
      expect(noise(await run())).toMatch(/^<5>LVG205 is over: [^\n]*\n$/)
    })
  },
)
