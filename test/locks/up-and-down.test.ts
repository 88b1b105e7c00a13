/** That hosts.sh leaves nothing behind, however it ends, and that one pair of hosts knows nothing of another. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, test } from 'vitest'
import { HOSTS, available, hosts } from './hosts.ts'

const obstacle = await available()

const newFolder = (): string => mkdtempSync(join(tmpdir(), 'lvguard-locks-'))

/** Processes that have something of a folder mounted, loop devices on a file in it, and the folder. */
async function remainsOf(folder: string): Promise<string[]> {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && mountsOf(name).includes(folder))
  const { stdout } = await execa('losetup', ['-n', '-O', 'NAME,BACK-FILE'])
  return [
    ...processes,
    ...stdout.split('\n').filter((line) => line.includes(folder)),
    ...(existsSync(folder) ? [folder] : []),
  ]
}

function mountsOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
  } catch {
    return ''
  }
}

describe.skipIf(obstacle !== undefined)(`hosts.sh${obstacle === undefined ? '' : ` (skipped: ${obstacle})`}`, () => {
  test('`down` ends everything, what was started on a host and a daemon that is stopped too; another pair is untouched', async () => {
    const [folder, other] = [newFolder(), newFolder()]
    await Promise.all([hosts('up', folder), hosts('up', other)])
    try {
      for (const pair of [folder, other])
        await hosts('run', pair, '1', 'lvcreate', '-an', '-L', '8m', '-n', 'tintin', 'virtVG')
      await hosts('run', folder, '1', 'lvchange', '-aey', 'virtVG/tintin')
      await hosts('pause-locking', folder, '1')
      const program = execa('bash', [HOSTS, 'run', folder, '1', 'lvchange', '-an', 'virtVG/tintin'], {
        reject: false,
        stdin: 'ignore',
      })
      const outliving = spawn('bash', [HOSTS, 'run', folder, '2', 'sh', '-c', 'sleep 1000 & echo'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      await once(outliving.stdout, 'data')
      expect((await remainsOf(folder)).length).toBeGreaterThan(8)
      await hosts('down', folder)
      expect(await remainsOf(folder)).toEqual([])
      expect((await program).signal).toBe('SIGKILL')
      expect(await hosts('run', other, '1', 'lvchange', '-aey', 'virtVG/tintin')).toBe('')
    } finally {
      await hosts('down', other)
    }
    expect(await remainsOf(other)).toEqual([])
  })

  test.each([
    ['a signal part-way', (holder: ReturnType<typeof spawn>) => holder.kill('SIGTERM')],
    ['the end of its standard input part-way', (holder: ReturnType<typeof spawn>) => holder.stdin?.end()],
  ])('`hold` ends everything after %s', async (_, end) => {
    const folder = newFolder()
    const holder = spawn('bash', [HOSTS, 'hold', folder], { stdio: ['pipe', 'ignore', 'inherit'] })
    await expect.poll(() => existsSync(join(folder, 'h2/lvmlockd.log')), { timeout: 120_000, interval: 20 }).toBe(true)
    end(holder)
    await once(holder, 'exit')
    expect(await remainsOf(folder)).toEqual([])
  })

  test('`down` touches no folder but its own kind', async () => {
    const folder = newFolder()
    await expect(hosts('down', folder)).rejects.toThrow('was not made by hosts.sh')
    await execa('touch', [join(folder, 'precious')])
    await expect(hosts('up', folder)).rejects.toThrow('is not empty')
    expect(readdirSync(folder)).toEqual(['precious'])
    await execa('rm', ['-r', folder])
  })
})
