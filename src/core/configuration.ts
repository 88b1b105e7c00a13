/** What an administrator can set in /etc/libvirt/lvguard.conf. Times in seconds. */
export interface Configuration {
  /** VGs that are managed; empty: every VG with a lock manager. */
  readonly volumeGroups: readonly string[]
  /** VGs without a lock manager: left alone, or activated and deactivated with their domain. */
  readonly localVolumeGroups: 'ignore' | 'activate'
  /** How long `migrate` waits for the source to demote. */
  readonly migrateWait: number
  /** How long a hook waits for another act of this host on the same VG. */
  readonly lockWait: number
  /** Of a domain that runs here after a migration whose end is in doubt, while another host still holds its volumes (core/contested.ts). */
  readonly onContested: 'suspend' | 'alert'
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug'
  /** Empty: no log. */
  readonly logFile: string
}

export const DEFAULTS: Configuration = {
  volumeGroups: [],
  localVolumeGroups: 'ignore',
  migrateWait: 30,
  lockWait: 30,
  onContested: 'suspend',
  logLevel: 'info',
  logFile: '/var/log/libvirt/lvguard.log',
}
