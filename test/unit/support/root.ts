import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** A folder that stands for a host's root (LVGUARD_ROOT). To be made with vi.hoisted, before src/system/paths.ts is loaded. */
export class Root {
  readonly path = mkdtempSync(join(tmpdir(), 'lvguard-root-'))
  constructor() {
    process.env['LVGUARD_ROOT'] = this.path
  }
  write(path: string, text: string | Buffer): void {
    const file = join(this.path, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  clear(): void {
    for (const folder of ['run', 'etc', 'proc']) rmSync(join(this.path, folder), { recursive: true, force: true })
  }
  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
