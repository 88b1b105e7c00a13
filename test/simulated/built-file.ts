/** The built program in a folder of its own, for tests of what it does on a host that lacks something. */
import { copyFileSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const BUILT = fileURLToPath(new URL('../../dist/qemu', import.meta.url))
export const isRoot = process.getuid?.() === 0

export interface Ended {
  readonly exitCode?: number | undefined
  readonly stdout: string
  readonly stderr: string
}

/** @returns a new folder with the program in it, as `qemu`; the caller removes it */
export function withBuiltFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lvguard-built-'))
  copyFileSync(BUILT, join(folder, 'qemu'))
  return folder
}
