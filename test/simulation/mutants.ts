import type { SequenceName } from './sequences.ts'

/**
 * A place in the product where something is taken out, or turned round: the text that stands there, once, and what
 * stands there instead.
 */
export interface Mutant {
  readonly name: string
  /** Below src. */
  readonly file: string
  readonly from: string
  readonly to: string
  /** Of schedules in which this happens again and again; without, chance alone would need thousands. */
  readonly focus?: SequenceName
  /** Why nothing that must hold is broken by it: something else in the program sees to the same. */
  readonly harmless?: string
}

/** Matches the text of a place, however the formatter has broken its lines. */
export const placeOf = ({ from }: Pick<Mutant, 'from'>): RegExp =>
  new RegExp(
    from
      .trim()
      .split(/\s+/)
      .map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('\\s+'),
    'g',
  )

/**
 * Each of these is a fault that the simulation has to find, but for those that are harmless.
 */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'R2: any incoming record lets a start take shared',
    focus: 'let in, and started',
    file: 'core/takeover.ts',
    from: 'return record.incoming.id === xmlId && age >= 0',
    to: 'return age >= 0',
  },
  {
    name: 'R2: a start without an id takes an incoming record for its own',
    focus: 'let in, and refused',
    file: 'core/takeover.ts',
    from: "if (record?.state !== 'incoming' || record.incoming === undefined || xmlId === undefined) return false\n  const age = calledAt - record.incoming.at\n  return record.incoming.id === xmlId &&",
    to: "if (record?.state !== 'incoming' || record.incoming === undefined) return false\n  const age = calledAt - record.incoming.at\n  return",
  },
  {
    name: 'R2: an id that stands in the persistent definition counts',
    focus: 'let in, and started',
    file: 'core/takeover.ts',
    from: ' && idInDefinition === false',
    to: '',
  },
  {
    name: 'R11: nobody takes the lock of a VG',
    file: 'state/vg-lock.ts',
    from: 'await lockOne(vg, descriptor, { seconds, inAll, end, moved: () => held.forEach(leaveMark) })',
    to: 'void [lockOne, seconds, inAll, end, held, VgBusy]',
  },
  {
    name: 'no status file means gone, also while a start is under way',
    file: 'core/reconcile.ts',
    from: "if (recordDaemonAlive !== false) return unchanged('starting')",
    to: 'void recordDaemonAlive',
  },
  {
    name: 'R1: an exit status of 0 is a lock',
    file: 'acts/host.ts',
    from: 'const missing = missingLocks(recorded, table, locks, devices)',
    to: 'const missing: Problem[] = [missingLocks].flatMap(() => [])',
  },
  {
    name: 'R3: demoted before the flags of the job are valid',
    file: 'core/reconcile.ts',
    from: "is: (status) => goesOut(status) && !hasPhase(status), wanted: unchanged('job-starting')",
    to: "is: (status) => goesOut(status) && !hasPhase(status), wanted: { mode: 'shared', direction: 'out' }",
  },
  {
    name: 'the lost reply: nobody is suspended',
    file: 'core/contested.ts',
    from: "return onContested === 'suspend' && status.state === 'running' ? 'suspend' : 'alert'",
    to: "return onContested === 'suspend' ? 'alert' : 'alert'",
  },
  {
    name: 'the lost reply: only a phase that was seen counts',
    focus: 'reply lost unseen',
    file: 'core/contested.ts',
    from: "if (before === undefined && isUntried && status.async === 'none' && hasReasonOfMigration(status))",
    to: 'if (isUntried && hasReasonOfMigration(status) && Number.isNaN(1))',
  },
  {
    name: 'R12: a saved memory is restored whoever has locked its volumes since',
    focus: 'a life elsewhere',
    file: 'core/saved-image.ts',
    from: 'else if (count.lver !== volume.lver && ',
    to: 'else if (count.lver < 0 && ',
  },
  {
    name: '`release` waits for the lock before it says that the domain has ended',
    file: 'acts/release.ts',
    from: '    sayEnded()\n    if (plan',
    to: '    if (plan',
  },
  {
    name: '`release` that has no time left does not say that the domain has ended',
    focus: 'release without time',
    file: 'acts/release.ts',
    from: "if (ended === 'time is over') sayEnded()",
    to: '',
  },
  {
    name: '`release` takes a record away without the lock',
    focus: 'let in, and refused',
    file: 'acts/release.ts',
    from: "if (plan.kind === 'keep' || (plan.kind === 'forget' && record === undefined)) return settle(decided, plan)",
    to: "if (plan.kind !== 'deactivate') return settle(decided, plan)",
  },
  {
    name: '`release` gives back what a later start has taken',
    focus: 'quick daemon',
    file: 'acts/release.ts',
    from: "now !== undefined && (now.state === 'prepared' || now.state === 'incoming') && JSON.stringify(now) !== JSON.stringify(old)",
    to: 'now !== undefined && old === now',
  },
  {
    name: 'a `release` whose daemon has ended takes the record of the next start for its own',
    focus: 'quick daemon',
    file: 'acts/release.ts',
    from: 'if (record?.daemon !== undefined && callerHasEnded() && lives(record.daemon)) return STARTED_AGAIN',
    to: 'void [callerHasEnded, lives]',
  },
  {
    name: 'the agent takes a record without volumes away without the lock',
    focus: 'let in, and refused',
    file: 'acts/seen-domains.ts',
    from: 'return knowsLockspaces ? [...lockspaces].filter((vg) => !marked.has(vg)).sort() : undefined',
    to: 'return [knowsLockspaces, lockspaces].length === 2 ? [] : undefined',
  },
  {
    name: 'a record is replaced whatever it has become',
    focus: 'noted late',
    file: 'state/record-store.ts',
    from: "if (!isOnRecord(uuid, expected)) return 'changed'",
    to: 'void [isOnRecord, expected]',
  },
  {
    name: 'a migration that copies storage is demoted for',
    file: 'core/reconcile.ts',
    from: 'is: (status) => goesOut(status) && hasFlag(status, COPIES_STORAGE)',
    to: 'is: (status) => goesOut(status) && hasFlag(status, COPIES_STORAGE) && Number.isNaN(1)',
  },
  {
    name: 'a domain is gone after one pass without a status file',
    file: 'core/reconcile.ts',
    from: 'export const GONE_PASSES = 2',
    to: 'export const GONE_PASSES = 1',
    harmless:
      'an act looks at the status files again under the lock, so that a file would have to be missed twice in a row; and LVM leaves a volume alone that is open',
  },
  {
    name: 'a domain is gone also while no libvirt runs',
    file: 'core/reconcile.ts',
    from: "if (!libvirtAlive) return unchanged('daemon-down')",
    to: 'void libvirtAlive',
    harmless:
      'while no daemon runs, no status file comes or goes: one that is not there belongs to a domain that has ended',
  },
  {
    name: 'a `prepare` that fails gives nothing back',
    file: 'acts/prepare.ts',
    from: "  await carryOut(undo, locks, 'go-on')\n",
    to: '',
    harmless: 'what is still here stays on record as to be released, and the `release` that follows gives it back',
  },
  {
    name: 'a `prepare` that fails forgets what it could not give back',
    file: 'acts/prepare.ts',
    from: 'putRefused(given.length === 0 ? [] : stillHere(given, await lockState(), activeVolumes()))',
    to: 'putRefused([stillHere, lockState].slice(2) as never[])',
  },
  {
    name: 'a `prepare` does not look whether a saved memory is still as new, once it has the locks',
    focus: 'a life while it is restored',
    file: 'acts/prepare.ts',
    from: "const stale = isRestore && failed === undefined && missing.length === 0 && configuration.onStaleImage === 'refuse' ?",
    to: "const stale = isRestore && configuration.onStaleImage !== 'refuse' ?",
  },
  {
    name: '`restore` lets every saved memory through',
    file: 'acts/saved.ts',
    from: "const speaking = onStaleImage === 'refuse' ? problems : []",
    to: "const speaking = onStaleImage !== 'refuse' ? problems : []",
    harmless: '`prepare` compares again once it has the locks, and refuses',
  },
  {
    name: '`restore` refuses a managed save itself, which libvirt 11.3 throws away then',
    focus: 'a life elsewhere',
    file: 'acts/saved.ts',
    from: "const isLeft = speaking.length > 0 && managedSave(domain) !== 'none'",
    to: "const isLeft = speaking.length > 0 && managedSave(domain) === 'noted' && false",
  },
  {
    name: 'a `prepare` does not hear what its `restore` has found',
    focus: 'a life elsewhere',
    file: 'acts/prepare.ts',
    from: 'if (isRestore && restored.problems.length > 0)',
    to: 'if (isRestore && restored.problems.length > 999)',
    harmless: '`prepare` compares again once it has the locks, and refuses',
  },
  {
    name: 'that a saved memory was used is not put down',
    focus: 'restored twice',
    file: 'acts/prepare.ts',
    from: '    noteStarted(domain)\n',
    to: '    void noteStarted\n',
  },
  {
    name: '`migrate` does not give its trial back',
    file: 'acts/migrate.ts',
    from: "  await carryOut(undo, locks, 'go-on')\n",
    to: '',
  },
  {
    name: '`migrate` lets a domain in that is on this host already',
    focus: 'defined where it runs',
    file: 'core/migrate.ts',
    from: "const runs = activeHere !== false || record?.state === 'prepared' || record?.state === 'running'",
    to: 'const runs = [activeHere, record].length === 0',
  },
  {
    name: 'what was active before and was demoted does not go with its VM',
    file: 'core/record.ts',
    from: "before === 'inactive' || demoted === true",
    to: "before === 'inactive' || (demoted === true && Number.isNaN(1))",
  },
  {
    name: 'what was active before goes with its VM',
    file: 'core/record.ts',
    from: "before === 'inactive' || demoted === true",
    to: "before === 'inactive' || before === 'active' || demoted === true",
  },
  {
    name: 'a `release` deactivates what another domain of this host uses',
    file: 'core/release.ts',
    from: 'claimsOn(volume, records, uuid, IN_USE).length === 0 && ',
    to: '[claimsOn, IN_USE].length === 2 && ',
  },
  {
    name: 'a `release` comes through also while the domain runs',
    file: 'core/release.ts',
    from: "if (runsHere) return keep('its status file says that it runs')",
    to: 'void runsHere',
  },
  {
    name: 'a record whose lock was left is thrown away',
    focus: 'lock left behind',
    file: 'core/release.ts',
    from: "return volume.ids.lock === volume.ids.lv && lock !== 'none'",
    to: "return volume.ids.lock === volume.ids.lv && lock !== 'none' && Number.isNaN(1)",
  },
  {
    name: 'a lost lease kills nobody',
    focus: 'storage hangs',
    file: 'core/lease.ts',
    from: 'export const LOST = 8',
    to: 'export const LOST = 80',
  },
  {
    name: 'a lease that is late is a lost one',
    focus: 'storage hangs',
    file: 'core/lease.ts',
    from: 'export const LOST = 8',
    to: 'export const LOST = 4',
  },
  {
    name: 'what was cut off here is started on',
    file: 'acts/prepare.ts',
    from: '  const cutOff = cutOffProblems(subject.vgsToLock)\n  if (cutOff.length > 0) return refused(subject, cutOff)\n',
    to: '',
    harmless: 'decidePrepare refuses as well, only later: after what may wait for the storage',
  },
  {
    name: 'a VG that was cut off is never taken back',
    focus: 'storage hangs',
    file: 'agent/lease-watch.ts',
    from: "if (mark.by !== 'sanlock' || !mayRecover",
    to: "if (mark.by === 'sanlock' || !mayRecover",
  },
  {
    name: 'an act does not look again under the lock',
    file: 'acts/drive.ts',
    from: 'const state = vgs.length === 0 ? NO_LOCKS : await lockState()',
    to: 'const state = NO_LOCKS; void [vgs, lockState]',
  },
  {
    name: 'the agent does not promote',
    file: 'core/drive.ts',
    from: "if (held === 'shared') return to('exclusive', 'the domain runs here')",
    to: "if (held === 'shared') return NO_STEP",
  },
  {
    name: 'the agent does not demote',
    file: 'core/drive.ts',
    from: "role === 'exclusive' && isOnTheWayOut(wanted)) {",
    to: "role === 'exclusive' && isOnTheWayOut(wanted) && Number.isNaN(1)) {",
  },
  { name: 'the agent tries nothing again', file: 'agent/retries.ts', from: '      work()\n', to: '      void work\n' },
  {
    name: 'a start takes what another domain of this host has on record',
    focus: 'two VMs at once',
    file: 'core/record.ts',
    from: "(one.role === 'exclusive' || other.role === 'exclusive') && !isOtherPartition",
    to: "(one.role === 'exclusive' && other.role !== 'exclusive') && !isOtherPartition",
  },
  {
    name: 'an incoming record lives for ever',
    file: 'core/record.ts',
    from: 'export const INCOMING_LIFETIME = 120',
    to: 'export const INCOMING_LIFETIME = 1e9',
  },
  {
    name: 'the lock of a VG is not handed to lvchange',
    file: 'system/run.ts',
    from: "stderr ?? 'ignore', lockDescriptor]",
    to: "stderr ?? 'ignore', 'ignore'], ...{ lockDescriptor }",
  },
  {
    name: 'R12: the agent resumes what it has suspended',
    focus: 'saved in doubt',
    file: 'agent/aftermath.ts',
    from: "if (result.contested === 'suspend') void this.#suspend(view)",
    to: "if (result.contested === 'suspend') void this.#suspend(view); if (result.contested === 'stay') void virsh('resume' as 'suspend', uuid)",
  },
  {
    name: '`prepare` asks who called it when it writes, not when it begins',
    focus: 'a daemon ends in a hook',
    file: 'acts/daemon.ts',
    from: 'const caller = perProcess(() => (self().ppid === 1 && !isDaemonFirst() ? undefined : processOf(self().ppid)))',
    to: 'const caller = () => [isDaemonFirst] && processOf(self().ppid)',
  },
  {
    name: 'R12: a saved memory is restored though its VM may have run elsewhere when it was saved',
    focus: 'saved in doubt',
    file: 'core/contested.ts',
    from: "migration !== undefined || volumes.some(({ role, mode }) => role === 'exclusive' && mode === 'shared')",
    to: '[migration, volumes].length === 0',
  },
  {
    name: 'a full /run keeps a `release` from saying that its domain has ended',
    focus: 'release without time and room',
    file: 'state/record-store.ts',
    from: 'if (overwrite(fileOf(uuid), text)) return true',
    to: 'void overwrite',
  },
  {
    name: 'R1: locks that a start found here, and no command has asked for, are not vouched for',
    focus: 'a lease that nobody uses',
    file: 'core/start.ts',
    from: '.filter((vg) => !attempted.some((change) => change.vg === vg)),',
    to: '.filter((vg) => attempted.some((change) => change.vg === vg)),',
  },
  {
    name: 'R1: a lease that is lost vouches for its locks',
    focus: 'a lease that nobody uses',
    file: 'core/lease.ts',
    from: "return state?.kind === 'fine' || state?.kind === 'late' ? [] : [{ vg, isKnown: true }]",
    to: 'return state === undefined ? [{ vg, isKnown: true }] : []',
  },
  {
    name: 'R9: a sanlock that does not answer vouches for all locks',
    focus: 'a lease that nobody uses',
    file: 'sanlock/ask.ts',
    from: "return unvouched(vgs, asked.kind === 'status' ? asked.status : undefined).map(",
    to: "return (asked.kind === 'status' ? unvouched(vgs, asked.status) : []).map(",
  },
  {
    name: '`prepare` takes its volumes, and puts them on record then',
    file: 'acts/prepare.ts',
    from: "put('prepared', plan.recorded)",
    to: '',
  },
  {
    name: '`prepare` forgets what an earlier life of its domain has left',
    focus: 'plugged in and out',
    file: 'acts/prepare.ts',
    from: 'volumes: [...volumes, ...others],',
    to: 'volumes: [...volumes, ...others.slice(99)],',
  },
  {
    name: '`migrate` tries a volume, and puts it on record never',
    file: 'acts/migrate.ts',
    from: 'put(plan.recorded)',
    to: 'void put',
  },
  {
    name: 'the trial of a `migrate` gives back what a person has activated',
    focus: 'active before where it comes in',
    file: 'acts/migrate.ts',
    from: "(volume) => volume.before === 'inactive' && claimsOn(volume, facts.records, domain.uuid, IN_USE).length === 0,",
    to: '(volume) => claimsOn(volume, facts.records, domain.uuid, IN_USE).length === 0,',
  },
  {
    name: 'the trial of a `migrate` gives back what another VM of this host uses',
    focus: 'two VMs that read one volume',
    file: 'acts/migrate.ts',
    from: "(volume) => volume.before === 'inactive' && claimsOn(volume, facts.records, domain.uuid, IN_USE).length === 0,",
    to: "(volume) => volume.before === 'inactive' && [claimsOn, IN_USE].length > 0,",
  },
  {
    name: '`migrate` lets a domain in where no agent runs',
    focus: 'let in without an agent',
    file: 'core/migrate.ts',
    from: "if (facts.agent.kind !== 'runs' && ",
    to: "if (facts.agent.kind === 'hangs' && ",
  },
  {
    name: 'what `migrate` has let in a moment ago is forgotten',
    focus: 'let in without an agent',
    file: 'core/reconcile.ts',
    from: 'now - record.incoming.at < INCOMING_LIFETIME',
    to: 'now - record.incoming.at > INCOMING_LIFETIME',
  },
  {
    name: 'a migration is in doubt as long as its VM shares a disk',
    focus: 'a doubt that is none',
    file: 'acts/drive.ts',
    from: "volume.role === 'shared' ||\n      volume.mode === 'local' ||",
    to: "volume.mode === 'local' ||",
  },
  {
    name: 'a doubt is over as soon as one volume is granted',
    focus: 'reply lost',
    file: 'acts/drive.ts',
    from: 'const isGranted = record.volumes.every(',
    to: 'const isGranted = record.volumes.some(',
  },
  {
    name: 'what is unplugged is given back while QEMU has it open still',
    focus: 'plugged in and out',
    file: 'acts/drive.ts',
    from: '=> isUnplugged(volume) && !open.has(fullName(present(volume))))',
    to: '=> isUnplugged(volume) && open.size >= 0)',
  },
  {
    name: 'no pass looks for what is unplugged',
    focus: 'plugged in and out',
    file: 'agent/agent.ts',
    from: 'plan.unplugged.length > 0 ||',
    to: '',
  },
  {
    name: 'what is plugged in is not put on record',
    focus: 'plugged in and out',
    file: 'core/drive.ts',
    from: '!known.some((old) => isSameVolume(old, volume)) && hasDevice(volume, facts))',
    to: '!known.some((old) => isSameVolume(old, volume)) && !hasDevice(volume, facts))',
  },
  {
    name: 'what was active before, and was shared for a migration that failed, goes with its VM',
    focus: 'active before it starts',
    file: 'acts/drive.ts',
    from: 'undemoted(drive.record, own, replace)',
    to: '[drive.record, undemoted][0] as DomainRecord',
  },
  {
    name: 'a volume is shared for a migration while that cannot be put on record',
    focus: 'a full /run',
    file: 'acts/drive.ts',
    from: "plan.changes.filter((change) => change.to === 'exclusive' && isOnRecord(fullName(change)))",
    to: 'plan.changes.filter((change) => isOnRecord(fullName(change)))',
  },
  {
    name: 'where lvmlockctl does not answer, what is given back counts as gone',
    focus: 'lock left behind',
    file: 'core/release.ts',
    from: "if (locks.kind === 'unknown') return true",
    to: "if (locks.kind === 'unknown') return false",
  },
  {
    name: '`release` gives back what the XML names, though the agent was quicker',
    focus: 'active before it starts',
    file: 'acts/release.ts',
    from: 'if (record !== undefined && now === undefined) return RELEASED_MEANWHILE',
    to: 'if (record === undefined && now === undefined) return RELEASED_MEANWHILE',
  },
  {
    name: 'what was shared before a start that fails stays exclusive',
    focus: 'active before it starts',
    file: 'core/start.ts',
    from: "if (then.lock === 'shared' && (now.lock === 'exclusive' || now.lock === 'unknown')) return back(isOwn ? 'inactive' : 'shared')",
    to: 'void isOwn',
  },
  {
    name: 'R11: the locks of VGs are taken in any order',
    focus: 'quick daemon',
    file: 'state/vg-lock.ts',
    from: 'for (const vg of [...new Set(vgs)].sort()) {',
    to: 'for (const vg of new Set(vgs)) {',
  },
  {
    name: 'R11: whoever has waited long enough for the lock of a VG goes on without it',
    file: 'state/vg-lock.ts',
    from: 'throw new VgBusy(vg, Math.round((now - since) / 1000), false)',
    to: 'return void [vg, since, now]',
  },
  {
    name: 'R12: the lock that a restore has taken itself hides those of others before it',
    focus: 'a life while it is restored',
    file: 'core/saved-image.ts',
    from: '!(isOwn && count.lver === volume.lver + 1))',
    to: '!isOwn)',
  },
  {
    name: 'R12: after a restore that failed the lock of another host counts as its own',
    focus: 'a restore that fails',
    file: 'core/saved-image.ts',
    from: 'const isOwnTry = count?.lver === volume.lver + 1 && count.owner === ownIds.get(volume.vg)',
    to: 'const isOwnTry = count?.lver === volume.lver + 1 && ownIds.size >= 0',
  },
  {
    name: 'R12: what another VM of this host writes under a lock that stays here makes no memory old',
    focus: 'active before it starts',
    file: 'acts/prepare.ts',
    from: "({ vg, lv, role }) => role === 'exclusive' && !attempted.some(",
    to: "({ vg, lv, role }) => role === 'exclusive' && attempted.some(",
  },
  {
    name: 'the policy in the metadata is for backing files only',
    file: 'core/domain.ts',
    from: "const own = disk.part === 'backing file' ? undefined : policy.modes.get(disk.target)",
    to: "const own = disk.part !== 'backing file' ? undefined : policy.modes.get(disk.target)",
  },
  {
    name: 'a VG is said to be taken back though its locking was not started',
    focus: 'storage hangs',
    file: 'kill/recover.ts',
    from: 'if (refused !== undefined) return notYet(',
    to: 'if (refused !== undefined && Number.isNaN(1)) return notYet(',
  },
  {
    name: "a domain's own record counts as another one's",
    file: 'core/record.ts',
    from: '.filter(({ domain, state }) => domain.uuid !== ownUuid && states.includes(state))',
    to: '.filter(({ domain, state }) => [domain, ownUuid].length === 2 && states.includes(state))',
  },
  {
    name: 'the agent gives nothing back unless a `release` has said so',
    file: 'agent/agent.ts',
    from: "plan.kind === 'release' || (plan.kind === 'drive' &&",
    to: "(plan.kind === 'drive' &&",
  },
  {
    name: 'R14: a command names a volume as it was called when it was put on record',
    focus: 'a renamed volume',
    file: 'core/lock-state.ts',
    from: '{ now: device === undefined ? { vg: volume.vg, uuid: volume.ids.lv } : { vg: device.vg, lv: device.lv } }',
    to: '{ now: device === undefined ? { vg: volume.vg, uuid: volume.ids.lv } : { vg: volume.vg, lv: volume.lv } }',
  },
  {
    name: 'R14: the device of a volume is the one that has its name',
    focus: 'a name that another volume has',
    file: 'core/lock-state.ts',
    from: 'ids === undefined ? (device) => isSameName(device, volume) : ({ dmUuid }) => dmUuid === mapperUuid(ids.vg, ids.lv),',
    to: 'ids === undefined || mapperUuid(ids.vg, ids.lv) !== "" ? (device) => isSameName(device, volume) : () => false,',
  },
]
