/** Rule R11 rests on what lvchange does with the descriptors that it inherits. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { LocksHost } from './host.ts'
import { LocksRing, available } from './ring.ts'
import type { Running } from './running.ts'

const obstacle = await available()

describe.skipIf(obstacle !== undefined)(
  `descriptors that lvchange inherits${obstacle === undefined ? '' : ` (skipped: ${obstacle})`}`,
  () => {
    let ring: LocksRing
    let host: LocksHost

    beforeAll(async () => {
      ring = await LocksRing.create()
      host = ring.hosts[0]
      await ring.volume('nestor')
      await ring.volume('lampion')
    })
    afterAll(() => ring?.close())
    beforeEach(async () => {
      await ring.reset()
      await host.write('/run/vg.lock', '')
    })

    // As the program does it: flock(1) locks the open file that this shell keeps, lvchange inherits it, its output goes
    // to a file.
    const lockAndChange = (variables: string, ...words: string[]): Running =>
      host.start([
        'bash',
        '-c',
        `exec 3>> /run/vg.lock; flock -w 5 3 || exit 9; ${variables} LVM_SUPPRESS_FD_WARNINGS=1 lvchange "$@" > /run/said 2>&1 & wait $!`,
        'sh',
        ...words,
      ])
    const isFree = async () => (await host.run('flock', '-n', '/run/vg.lock', 'true')).code === 0
    const isAtWork = async () => (await host.run('pgrep', '-f', '^lvchange .*virtVG/(nestor|lampion)')).code === 0
    const soon = { timeout: 5000, interval: 20 }

    test('with LVM_REPORT_FD the lock on a file lasts until lvchange has ended, though the program that took it was killed', async () => {
      await host.pauseLocking()
      const program = lockAndChange('LVM_REPORT_FD=3', '-aey', 'virtVG/nestor')
      await expect.poll(isAtWork, soon).toBe(true)
      program.kill('SIGKILL')
      await program.exited
      expect([await isAtWork(), await isFree()]).toEqual([true, false])
      await host.resumeLocking()
      await expect.poll(isFree, soon).toBe(true)
      expect(await host.lock('nestor')).toBe('ex')
    })

    test('without it lvchange closes the descriptor at its start', async () => {
      await host.pauseLocking()
      const program = lockAndChange('', '-aey', 'virtVG/nestor')
      await expect.poll(isAtWork, soon).toBe(true)
      expect(await isFree()).toBe(false)
      program.kill('SIGKILL')
      await program.exited
      await expect.poll(isFree, soon).toBe(true)
      expect(await isAtWork()).toBe(true)
      await host.resumeLocking()
      await expect.poll(isAtWork, soon).toBe(false)
      expect(await host.lock('nestor')).toBe('ex')
    })

    test('any descriptor but the one named is closed', async () => {
      await host.pauseLocking()
      const program = lockAndChange('LVM_REPORT_FD=1', '-aey', 'virtVG/nestor')
      await expect.poll(isAtWork, soon).toBe(true)
      program.kill('SIGKILL')
      await program.exited
      await expect.poll(isFree, soon).toBe(true)
      expect(await isAtWork()).toBe(true)
    })

    test('the one named must be open, and for writing: lvchange refuses to begin otherwise', async () => {
      for (const redirection of ['3<&-', '3< /run/vg.lock']) {
        const { code, stderr } = await host.run(
          'bash',
          '-c',
          `LVM_REPORT_FD=3 lvchange -aey virtVG/nestor ${redirection}`,
        )
        expect([code, await host.lock('nestor')]).toEqual([4, 'none'])
        expect(stderr).toMatch(
          /Failed to open stream for file descriptor 3|File descriptor 3 already open in read-only mode/,
        )
      }
    })

    test('nothing is written to it, whether lvchange succeeds or fails', async () => {
      await ring.hosts[1].must('lvchange', '-aey', 'virtVG/lampion')
      for (const [code, ...words] of [
        [0, '-aey', 'virtVG/nestor'],
        [0, '-asy', 'virtVG/nestor'],
        [0, '-an', 'virtVG/nestor'],
        [5, '-aey', 'virtVG/lampion'],
        [5, '-aey', 'virtVG/nope'],
      ] as const) {
        expect(await lockAndChange('LVM_REPORT_FD=3', ...words).exited).toBe(code)
        expect(await host.read('/run/vg.lock')).toBe('')
      }
      expect(await host.read('/run/said')).toContain('Failed to find logical volume "virtVG/nope"')
    })

    test('a pipe without a reader as stderr ends lvchange before it has done anything; a file does not', async () => {
      const change = async (stderr: string, before = '') =>
        (
          await host.run(
            'bash',
            '-c',
            `${before} LVM_SUPPRESS_FD_WARNINGS=1 lvchange -aey virtVG/nestor ${stderr}; echo $? > /run/status`,
          )
        ).code
      // Its only reader is gone before lvchange begins.
      await change('2>&4', 'rm -f /run/pipe; mkfifo /run/pipe; exec 3<>/run/pipe 4>/run/pipe 3<&-;')
      expect([await host.read('/run/status'), await host.lock('nestor')]).toEqual(['141\n', 'none'])
      await change('2> /run/said')
      expect([await host.read('/run/status'), await host.lock('nestor')]).toEqual(['0\n', 'ex'])
    })
  },
)
