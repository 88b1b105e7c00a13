/**
 * Where lvguard's and other programs' files are on a host. LVGUARD_ROOT, for tests, puts a folder before every path;
 * libvirtd passes no such variable on (FACTS 10).
 */
const root = process.env['LVGUARD_ROOT'] ?? ''

/** A path of this host; below LVGUARD_ROOT, if that is set. */
export const onHost = (path: string): string => root + path

/** Records, VG locks and marks. Does not outlive a boot. */
export const RUN_FOLDER = onHost('/run/lvguard')
/** libvirt's status files (FACTS 13). */
export const STATUS_FOLDER = onHost('/run/libvirt/qemu')
/** libvirt's persistent definitions of domains. */
export const DEFINITION_FOLDER = onHost('/etc/libvirt/qemu')
/** libvirt's storage pools that run. */
export const POOL_STATE_FOLDER = onHost('/run/libvirt/storage')
/** libvirt's storage pools that are defined. */
export const POOL_DEFINITION_FOLDER = onHost('/etc/libvirt/storage')
/** Notes of saved memories (state/saved-images.ts). Outlives a boot. */
export const SAVED_FOLDER = onHost('/var/lib/lvguard/saved')
/** What persons have confirmed of hosts that are off; outlives a boot too. */
export const CONFIRM_OFF_FOLDER = onHost('/var/lib/lvguard/confirm-off')
/** libvirt's own images of managed saves. */
export const SAVE_IMAGE_FOLDER = onHost('/var/lib/libvirt/qemu/save')
export const CONFIGURATION_FILE = onHost('/etc/libvirt/lvguard.conf')
export const BLOCK_FOLDER = onHost('/sys/block')
export const PROC_FOLDER = onHost('/proc')
