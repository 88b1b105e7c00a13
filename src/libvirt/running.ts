import { readdirSync } from '../system/files.ts'
import { join } from 'node:path'
import type { RunningDomain } from '../core/cut-off.ts'
import { STATUS_FOLDER } from '../system/paths.ts'
import { textOf } from '../system/quiet-files.ts'
import { isStatusFile } from './domain-status.ts'

/**
 * The domains of this host with the processes that libvirt's status files name, and the files that name none. Reads
 * only what is needed to find a process: an XML that is not whole may still name one.
 * @param known domains that may have no such file: libvirt keeps NAME.pid beside it
 */
export function runningDomains(known: readonly Pick<RunningDomain, 'name' | 'uuid'>[]): {
  running: RunningDomain[]
  unreadable: string[]
} {
  const running = new Map<string, RunningDomain>()
  const unreadable: string[] = []
  for (const file of statusFiles()) {
    const text = textOf(join(STATUS_FOLDER, file))
    const pid = Number(/<domstatus\s[^>]*?\bpid=['"](\d+)['"]/.exec(text ?? '')?.[1])
    const uuid = /<domain\s[\s\S]*?<uuid>([0-9a-f-]{36})<\/uuid>/.exec(text ?? '')?.[1]
    if (uuid !== undefined && pid > 0) running.set(uuid, { name: file.slice(0, -'.xml'.length), uuid, pid })
    // 0: QEMU is about to be started.
    else if (uuid === undefined || pid !== 0) unreadable.push(join(STATUS_FOLDER, file))
  }
  for (const { name, uuid } of known) {
    const pid = running.has(uuid)
      ? Number.NaN
      : Number(/^\d+$/.exec((textOf(join(STATUS_FOLDER, `${name}.pid`)) ?? '').trim())?.[0])
    if (pid > 0) running.set(uuid, { name, uuid, pid })
  }
  return { running: [...running.values()], unreadable }
}

function statusFiles(): string[] {
  try {
    return readdirSync(STATUS_FOLDER).filter(isStatusFile)
  } catch {
    return []
  }
}
