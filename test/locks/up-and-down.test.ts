/** That hosts.sh leaves nothing behind, however it ends, and that one pair of hosts knows nothing of another. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, test, vi } from 'vitest'
import { HOSTS, available, hosts } from './hosts.ts'
import { LocksRing } from './ring.ts'

vi.setConfig({ testTimeout: 60_000 })
const obstacle = await available()

const newFolder = (): string => mkdtempSync(join(tmpdir(), 'lvguard-locks-'))

/** Processes that see the folder of one of the hosts as their /etc/lvm, and loop devices on its disk. */
async function remainsOf(folder: string): Promise<string[]> {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && mountsOf(name).includes(folder))
  const { stdout } = await execa('losetup', ['-n', '-O', 'NAME,BACK-FILE'])
  return [...processes, ...stdout.split('\n').filter((line) => line.includes(folder)), ...(existsSync(folder) ? [folder] : [])]
}

function mountsOf(pid: string): string {
  try {
    return `${readlinkSync(`/proc/${pid}/cwd`)} ${require('node:fs').readFileSync(`/proc/${pid}/mountinfo`, 'utf8')}`
  } catch {
    return ''
  }
}
