import { troubleInWords } from './drbd.ts'
import type { Attempt, Problem } from './problem.ts'

/** Two lines for the person who reads virsh's error: what happened to which volume, and what to do. */
export interface Explanation {
  readonly what: string
  readonly advice: string
}

/** The two lines of one problem, for the domain of that name. Pure; every kind has its test. */
export function explain(problem: Problem, domain: string, attempt: Attempt): Explanation {
  const refused = {
    start: `${domain} was not started`,
    migration: `${domain} was not let in`,
    end: `the volumes of ${domain} were not released`,
  }[attempt]
  const again = {
    start: `start ${domain} again`,
    migration: `migrate ${domain} again`,
    end: 'deactivate them: lvchange --activate n VG/LV',
  }[attempt]
  const because = (reason: string, advice: string): Explanation => ({
    what: `${refused}: ${reason}.`,
    advice: `${advice}.`,
  })
  switch (problem.kind) {
    case 'held':
      return explainHeld(problem, because, { domain, attempt, again })
    case 'not-started':
      return because(
        `the locking of volume group ${problem.vg} is not started on this host`,
        `Start it with: vgchange --lock-start ${problem.vg}; then ${again}`,
      )
    case 'starting':
      return because(
        `the locking of volume group ${problem.vg} is still starting on this host`,
        `It takes 20 s to 3 min; when 'vgs ${problem.vg}' no longer says 'in progress', ${again}`,
      )
    case 'lvmlockd-down':
      return because(
        'lvmlockd is not running on this host, so no volume can be locked',
        `Start it with: systemctl start lvmlockd lvmlocks; then ${again}`,
      )
    case 'lvmlockd-off':
      return because(
        `LVM on this host does not use lvmlockd, which volume group ${problem.vg} needs`,
        `Set use_lvmlockd = 1 in /etc/lvm/lvm.conf; then: systemctl enable --now lvmlockd lvmlocks sanlock`,
      )
    case 'locks-unknown':
      return because(
        `the state of this host's locks cannot be read (${problem.detail})`,
        `See 'lvmlockctl --info' and 'systemctl status lvmlockd'; then ${again}`,
      )
    case 'missing-volume':
      return because(
        `there is no logical volume ${problem.volume} (${problem.disk})`,
        `Compare 'virsh domblklist ${domain}' with 'lvs ${problem.volume.split('/')[0]}'`,
      )
    case 'volume-unknown':
      return because(
        `what ${problem.volume} is cannot be told: ${problem.detail} (${problem.disk})`,
        `See 'lvs ${problem.volume}' and 'vgs ${problem.volume.split('/')[0]}'; then ${again}`,
      )
    case 'missing-vg':
      return because(
        `there is no volume group ${problem.vg} on this host (${problem.disk})`,
        `Is its storage connected? See 'vgs' and 'pvs --all'; then ${again}`,
      )
    case 'unknown-use':
      return because(
        `its <${problem.element}> names ${problem.path}, and whether it writes to it cannot be told`,
        `Use a <disk>, or say how it is to be locked with a policy for '${problem.element}' (README, Policy): exclusive, shared or ignore`,
      )
    case 'unseen-vg':
      return because(
        `${problem.volume} is active on this host, but LVM does not see its volume group and cannot lock it (${problem.disk})`,
        `See filter, global_filter and use_devicesfile: lvmconfig devices; lvmdevices; then ${again}`,
      )
    case 'no-device':
      return because(
        `${problem.path} is not the volume but ${problem.is}, which no lock protects (${problem.disk})`,
        `See what is in it: ls -l ${problem.path}; when nobody needs it: rm ${problem.is === 'a folder' ? '-r ' : ''}${problem.path}; then ${again}`,
      )
    case 'impossible-name':
      return because(
        `no logical volume can have the path '${problem.path}' (${problem.disk})`,
        `Use /dev/VG/LV, with the names that 'lvs' shows`,
      )
    case 'open':
      // The dry run of a VM that runs here; libvirt itself starts none twice.
      if (
        attempt === 'start' &&
        problem.users.length > 0 &&
        problem.users.every((user) => user.startsWith(`used by the VM ${domain} (process `))
      ) {
        return because(
          `${domain} runs on this host already, and uses ${problem.volume}`,
          `See 'virsh list': a VM that runs has what it needs`,
        )
      }
      return because(
        `${problem.volume} is in use on this host: ${problem.users.join(', ')}`,
        `End that use, then ${again}`,
      )
    case 'on-record':
      if (problem.hasEnded) {
        return because(
          `${problem.volume} was used by the VM ${problem.domain}, which has ended, and is still active on this host`,
          `When nothing uses it any more: lvchange --activate n ${problem.volume}; then ${again}`,
        )
      }
      if (problem.isCommand === true)
        return because(
          `${problem.volume} is used by a command on this host: ${problem.domain}`,
          `Wait until that has ended, or end it; then ${again}`,
        )
      return because(
        `${problem.volume} is used by the VM ${problem.domain} on this host`,
        `Stop ${problem.domain} first, or mark the disk <shareable/> in both if they are meant to share it`,
      )
    case 'locked-here':
      if (problem.pool !== undefined) {
        return because(
          `${problem.volume} is already locked on this host, by the logical storage pool ${problem.pool}, which took every volume of ${problem.volume.split('/')[0]} when it started`,
          `Stop the pool: virsh pool-destroy ${problem.pool}; virsh pool-autostart --disable ${problem.pool}; then ${again}`,
        )
      }
      return because(
        `${problem.volume} is already locked on this host, where ${domain} does not run`,
        `If nothing uses it: lvchange --activate n ${problem.volume}; then ${again}`,
      )
    case 'not-shareable':
      if (attempt === 'start') {
        return because(
          `${problem.volume} cannot be shared (LV type ${problem.type}), but it is to be read only, shared, or a backing file`,
          `Take <readonly/> or <shareable/> out (virsh edit ${domain}), or say exclusive for it in a policy (README, Policy)`,
        )
      }
      return because(
        `${problem.volume} cannot be shared, as a live migration needs (LV type ${problem.type})`,
        `Shut ${domain} down and start it on the other host instead`,
      )
    case 'no-lock':
      return because(
        `LVM activated ${problem.volume} but lvmlockd holds no lock for it`,
        `Was it made while locking was off? 'lvs -o+lv_lockargs ${problem.volume}' shows no lock arguments then`,
      )
    case 'stale-memory':
    case 'doubtful-memory':
      return explainStale(problem, because, domain)
    case 'not-active':
      return because(
        `${problem.volume} did not become active on this host, although LVM says that it has activated it`,
        `Does volume_list in lvm.conf leave it out? See: lvmconfig activation/volume_list; then ${again}`,
      )
    case 'renamed':
      return because(
        `${problem.volume} was called ${problem.was} a moment ago, and is active on this host`,
        `Who has renamed it? When that is done, ${again}`,
      )
    case 'cut-off':
      return because(
        `the VMs of volume group ${problem.vg} were cut off on this host, and nothing starts on it here until that is over`,
        `See 'journalctl -u lvguard'; when its storage is back: lvguard recover ${problem.vg}; then ${again}`,
      )
    case 'lease-lost':
      return problem.isKnown
        ? because(
            `this host has lost its lease on volume group ${problem.vg}: what is active of it here may be locked by another host by now`,
            `See 'lvguard status'; when its storage is back: lvguard recover ${problem.vg}; then ${again}`,
          )
        : because(
            `whether this host still has its lease on volume group ${problem.vg} cannot be told: sanlock does not answer`,
            `See 'sanlock client status' and 'systemctl status sanlock'; then ${again}`,
          )
    case 'caller-ended':
      return because('the libvirt daemon that asked for it has ended meanwhile', `If it is wanted: ${again}`)
    case 'dead-device':
      if (problem.is === 'suspended')
        return because(
          `the device of ${problem.volume} is suspended on this host, so that all its I/O waits`,
          `See 'dmsetup info' and 'ps -ef | grep lv'; then ${again}`,
        )
      return because(
        `the device of ${problem.volume} on this host is not the volume: its table is 'error', so that all its I/O fails`,
        `When nothing uses it any more: lvguard recover ${problem.volume.split('/')[0]}, or dmsetup remove; then ${again}`,
      )
    case 'active-here':
      return because(
        'it runs or starts on this host already',
        attempt === 'migration'
          ? `Look at 'virsh list' here; a VM is not migrated to the host it is on`
          : `Look at 'virsh list' here; nothing of it was changed`,
      )
    case 'no-agent':
      return because(
        'no lvguard agent runs on this host, and nobody would lock its volumes exclusively when it has arrived',
        `Here: systemctl start lvguard; then ${again}`,
      )
    case 'agent-hangs':
      return because(
        `the lvguard agent of this host hangs (process ${problem.pid}, no sign of life for ${problem.seconds} s), and nobody would lock its volumes exclusively when it has arrived`,
        `Here: systemctl restart lvguard; then ${again}`,
      )
    case 'vg-refused':
      return because(
        `LVM gives no access to volume group ${problem.vg}: '${problem.text}'`,
        adviceOnRefused(problem.text, problem.vg, again),
      )
    case 'not-installed':
      return because(
        `${problem.command} was not found on this host, so no volume can be locked`,
        `Install it: apt install ${problem.packages}; then ${again}`,
      )
    case 'drbd': {
      const { what, advice } = troubleInWords(problem.trouble, problem.vg)
      return because(what, `${advice}; then ${again}`)
    }
    case 'vg-busy':
      if (problem.isQueue) {
        return because(
          `the starts, stops and migrations of this host on volume group ${problem.vg} that came first took longer than ${problem.seconds} s`,
          `See 'ps -ef | grep lvchange'; when they have ended, ${again}`,
        )
      }
      return because(
        `another start, stop or migration on this host has been at work on volume group ${problem.vg} for ${problem.seconds} s`,
        `See 'ps -ef | grep lvchange'; then ${again}`,
      )
    case 'records-unreadable':
      return because(
        `what runs here cannot be told, because ${problem.files.join(', ')} cannot be read`,
        'It may come from a newer lvguard; move it away only if no VM here uses its volumes',
      )
    case 'record-unwritable':
      return because(
        `its record in /run/lvguard cannot be written (${problem.detail})`,
        `Make room in /run (df /run), then ${again}`,
      )
    case 'unknown-source':
      return because(problem.detail, `Compare 'virsh domblklist ${domain}' with what is on this host; then ${again}`)
    case 'bad-image':
      return because(
        `the backing file of the qcow2 image on ${problem.volume} cannot be locked (${problem.detail})`,
        `See 'qemu-img info -U /dev/${problem.volume}'; if it is meant so, say it in the XML with <backingStore>, which is believed`,
      )
    case 'bad-policy':
      return because(
        `the policy in its <metadata> is wrong: ${problem.detail}`,
        `Modes are exclusive, shared and ignore; see it with: virsh metadata ${domain} urn:lvguard:policy:1`,
      )
    case 'bad-xml':
      return because(
        problem.detail,
        'Nothing was changed. libvirt gives the whole XML to its hooks; for a trial take it from: virsh dumpxml',
      )
    case 'bad-configuration':
      return because(
        `${problem.errors.length === 1 ? 'the configuration is' : 'these parts of the configuration are'} wrong: ${problem.errors.join('; ')}`,
        `Correct /etc/libvirt/lvguard.conf, then ${again}`,
      )
    case 'other':
      return because(problem.detail, `See the log, /var/log/libvirt/lvguard.log; then ${again}`)
  }
}

/** What to do about a VG that LVM leaves alone; LVM's words on it are the same since 2.03.16 and before. */
const adviceOnRefused = (text: string, vg: string, again: string): string =>
  /is exported/.test(text)
    ? `If no other system has it: vgimport ${vg} on one host; then ${again}`
    : `By its system ID it belongs to one other host: vgs --foreign -o +systemid ${vg}; for several hosts: vgcreate --shared`

interface Words {
  readonly domain: string
  readonly attempt: Attempt
  readonly again: string
}

function explainHeld(
  { volume, holders, pool, isOnlyRead, isByMany }: Extract<Problem, { kind: 'held' }>,
  because: (reason: string, advice: string) => Explanation,
  words: Words,
): Explanation {
  const [holder] = holders
  if (holder === undefined)
    return because(
      `${volume} is locked by another host`,
      `Which one could not be read; 'virsh list' on the other hosts shows where ${words.domain} runs`,
    )
  if (holder.isThisHost) {
    return because(
      `${volume} is locked by a lease that this host itself left behind when lvmlockd ended`,
      `Stop every VM on ${volume.split('/')[0]} here, then restart its locking: vgchange --lock-stop, then --lock-start`,
    )
  }
  const by = holders
    .map(
      ({ name, mode, silentFor }) => `${mode === 'exclusive' ? 'exclusively' : 'shared'} by ${name}${seen(silentFor)}`,
    )
    .join(' and ')
  const reason = `${volume} is held ${by}`
  const silent = holders.find(({ silentFor, expiresAfter }) => silentFor !== undefined && silentFor > expiresAfter / 3)
  if (silent?.silentFor !== undefined) {
    const wait = silent.expiresAfter - silent.silentFor
    const when = wait > 0 ? `in about ${Math.ceil(wait)} s` : 'any moment now'
    return because(
      reason,
      `Make sure that ${silent.name} is off, which seems to be down; then its lock can be taken ${when}: ${words.again} then`,
    )
  }
  if (words.attempt === 'migration' && isOnlyRead === true) {
    return because(
      reason,
      `${words.domain} only reads it, so something else has taken it for itself there; if nothing there writes to it: ssh ${holder.name} lvchange --activate sy ${volume}. The VM runs on where it was`,
    )
  }
  if (words.attempt === 'migration' && isByMany === true) {
    return because(
      reason,
      `Only the host that ${words.domain} leaves may share it. 'virsh list' on each of them shows whether it runs there too; if nothing there uses it: ssh HOST lvchange --activate n ${volume}. The VM runs on where it was`,
    )
  }
  if (words.attempt === 'migration') {
    return because(
      reason,
      `Is the agent at work there (on ${holder.name}: systemctl restart lvguard)? With --copy-storage no shared volume can go along: leave that option out. The VM runs on where it was`,
    )
  }
  if (pool !== undefined && holder.mode === 'exclusive') {
    return because(
      reason,
      `If ${words.domain} does not run there, the logical storage pool ${pool} may have taken it: virsh -c qemu+ssh://${holder.name}/system pool-destroy ${pool}`,
    )
  }
  // It may hold the volume for this VM, for another one, for a mount, or since lvcreate made it there: nobody here
  // knows.
  const others = holders.length > 1 ? ', and so on each of these hosts' : ''
  return because(
    reason,
    `If ${words.domain} runs there: virsh -c qemu+ssh://${holder.name}/system shutdown ${words.domain}; if nothing there uses it: ssh ${holder.name} lvchange --activate n ${volume}${others}`,
  )
}

function explainStale(
  problem: Extract<Problem, { kind: 'stale-memory' | 'doubtful-memory' }>,
  because: (reason: string, advice: string) => Explanation,
  domain: string,
): Explanation {
  const { volume, at, holders } = problem
  const [holder] = holders
  const savedAt = `its memory was saved here (${at.slice(0, 16).replace('T', ' ')} UTC)`
  const reason =
    problem.kind === 'stale-memory'
      ? `${problem.by} has locked ${volume} since ${savedAt}, so that its disk is newer than its memory`
      : `when ${savedAt}, the end of a migration of it was in doubt: it may have run on another host too, so that its disk may be newer than its memory`
  const anew = `virsh managedsave-remove ${domain}; virsh start ${domain} (README, Saved memory)`
  if (holder === undefined) return because(reason, `To start it anew, without that memory: ${anew}`)
  const now = `${holder.name} holds ${problem.kind === 'stale-memory' ? 'it' : volume} now${seen(holder.silentFor)}, where ${domain} seems to run`
  return because(
    `${reason}; ${now}`,
    `If it runs there: virsh -c qemu+ssh://${holder.name}/system shutdown ${domain}; then, to start it here anew, without that memory: ${anew}`,
  )
}

const seen = (silentFor: number | undefined): string =>
  silentFor === undefined ? '' : `, last alive ${Math.max(0, Math.round(silentFor))} s ago`
