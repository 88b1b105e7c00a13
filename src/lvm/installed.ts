import { existsSync } from '../system/files.ts'
import { join } from 'node:path'
import type { Problem } from '../core/problem.ts'
import { self } from '../system/self.ts'

/** Whether a program is anywhere in PATH. Asked only once something has gone wrong. */
const isInstalled = (command: string): boolean =>
  (self().environment['PATH'] ?? '').split(':').some((folder) => folder !== '' && existsSync(join(folder, command)))

/** Why lvs gave no answer that can be read. */
export const noAnswerOfLvs = (): Problem =>
  isInstalled('lvs')
    ? { kind: 'locks-unknown', detail: 'lvs does not answer' }
    : { kind: 'not-installed', command: 'lvs', packages: 'lvm2 lvm2-lockd' }
