/** What an administrator can set in /etc/libvirt/lvguard.conf. Times in seconds. */
export interface Configuration {
  /** VGs that are managed; empty: every VG with a lock manager. */
  readonly volumeGroups: readonly string[]
  /** VGs without a lock manager: left alone, or activated and deactivated with their domain. */
  readonly localVolumeGroups: 'ignore' | 'activate'
  /** How volumes are locked whatever the domain XML says: `VG = MODE` or `VG/LV = MODE` each (parseVolumePolicy). */
  readonly policy: readonly string[]
  /** How long a start waits for the locking of a VG that is stopped or starting. */
  readonly startWait: number
  /** How long `migrate` waits for the source to demote. */
  readonly migrateWait: number
  /**
   * How long a hook, or the agent, waits for one and the same act of this host on a VG. In a queue that moves it waits
   * for up to ten minutes (state/vg-lock.ts).
   */
  readonly lockWait: number
  /**
   * What is done about a domain that runs here after a migration whose end is in doubt, while another host still holds
   * its volumes (core/contested.ts): it is suspended, or it is only said.
   */
  readonly onContested: 'suspend' | 'alert'
  /** What is done about a saved memory whose volumes were locked since (core/saved-image.ts): refused, or only said. */
  readonly onStaleImage: 'refuse' | 'alert'
  /** What is done about a VG whose lease this host has lost (core/lease.ts): its VMs are killed, or it is only said. */
  readonly onLostLease: 'kill' | 'alert'
  /** Where such a VG cannot be cut off in time and sanlock has no watchdog: this host is reset, or it is only said. */
  readonly killFallback: 'reset' | 'none'
  /**
   * What switches the other host of a DRBD resource off, and says by 0 that it is off: a program and its arguments
   * (core/fence.ts). Empty: nothing does.
   */
  readonly fenceCommand: readonly string[]
  /** How long this host waits before it does so: if two hosts have lost each other, one has to be the first. */
  readonly fenceDelay: number
  /** Codes of `lvguard check` that are not said (core/check/finding.ts). */
  readonly mute: readonly string[]
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug'
  /** Empty: no log. */
  readonly logFile: string
}

/** What counts where lvguard.conf does not say otherwise. */
export const DEFAULTS: Configuration = {
  volumeGroups: [],
  localVolumeGroups: 'ignore',
  policy: [],
  startWait: 0,
  migrateWait: 30,
  lockWait: 30,
  onContested: 'suspend',
  onStaleImage: 'refuse',
  onLostLease: 'kill',
  killFallback: 'reset',
  fenceCommand: [],
  fenceDelay: 0,
  mute: [],
  logLevel: 'info',
  logFile: '/var/log/libvirt/lvguard.log',
}
