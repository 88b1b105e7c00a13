import { spawn } from 'node:child_process'
import { onTestFinished } from 'vitest'

/** A real process with the command line of a VM's QEMU, which does nothing. It ends with the test at the latest. */
export function fakeQemu(
  uuid: string,
  program = '/usr/bin/qemu-system-x86_64',
): { readonly pid: number; readonly ended: () => boolean } {
  const child = spawn('bash', ['-c', 'exec -a "$0" sh -c "while :; do sleep 60; done" sh -uuid "$1"', program, uuid], {
    stdio: 'ignore',
    detached: true,
  })
  const { pid = 0 } = child
  let hasEnded = false
  child.once('exit', () => (hasEnded = true))
  onTestFinished(() => {
    // Its sleep is in its process group.
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // Gone.
    }
  })
  return { pid, ended: () => hasEnded }
}
