import { type ContestedStep, contestedStep } from '../core/contested.ts'
import { heldOf } from '../core/drive-step.ts'
import { isSameMemory } from '../core/drive.ts'
import { type LockState, deviceOf } from '../core/lock-state.ts'
import type { DomainRecord, MigrationMemory, RecordedVolume } from '../core/record.ts'
import { activeVolumes } from '../lvm/devices.ts'
import type { Replace } from '../state/record-store.ts'
import type { AgentHost, SeenDomain } from './seen-domains.ts'
import { rewrite } from './drive-record.ts'

/**
 * Decides what follows from a migration whose last reply was lost (DESIGN 4), and writes it into the record before
 * virsh is asked.
 */
export function contestedAfter(
  view: SeenDomain,
  record: DomainRecord,
  replace: Replace,
  after: LockState,
  host: AgentHost,
): ContestedStep {
  const { status, memory, wanted } = view
  if (status === undefined || memory === undefined || wanted.mode !== 'exclusive') return 'none'
  const devices = activeVolumes()
  const isNowhere = (volume: RecordedVolume): boolean => deviceOf(volume, devices) === undefined
  const isGranted = record.volumes.every(
    (volume) =>
      volume.role === 'shared' ||
      volume.mode === 'local' ||
      isNowhere(volume) ||
      (after.kind === 'known' && heldOf(volume, after, devices) === 'exclusive'),
  )
  const step = contestedStep({
    status,
    memory,
    promotion: isGranted ? 'granted' : 'refused',
    onContested: host.configuration.onContested,
  })
  // Written only if it is new, because this is looked at again in each pass.
  const now = memoryAfter(step, memory)
  if (!isSameMemory(now, record.migration)) {
    const { migration: _old, ...kept } = record
    host.remember(view, now)
    rewrite(replace, { ...kept, ...(now && { migration: now }) })
  }
  return step
}

function memoryAfter(step: ContestedStep, memory: MigrationMemory): MigrationMemory | undefined {
  if (step === 'forget') return undefined
  if (step === 'suspend') return { ...memory, suspend: 'asked' }
  // From now on a person who resumes it has been warned.
  return step === 'stay' ? { ...memory, suspend: 'done' } : memory
}
