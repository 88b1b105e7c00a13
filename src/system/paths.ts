/**
 * Where lvguard's and other programs' files are on a host. LVGUARD_ROOT, for tests, puts a folder before every path;
 * libvirtd passes no such variable on (FACTS 10).
 */
const root = process.env['LVGUARD_ROOT'] ?? ''

export const onHost = (path: string): string => root + path

export const RUN_FOLDER = onHost('/run/lvguard')
export const STATUS_FOLDER = onHost('/run/libvirt/qemu')
export const DEFINITION_FOLDER = onHost('/etc/libvirt/qemu')
/** Of storage pools: those that run, and those that are defined. */
export const POOL_STATE_FOLDER = onHost('/run/libvirt/storage')
export const POOL_DEFINITION_FOLDER = onHost('/etc/libvirt/storage')
/** Outlives a boot. */
export const SAVED_FOLDER = onHost('/var/lib/lvguard/saved')
/** What persons have confirmed of hosts that are off; outlives a boot too. */
export const CONFIRM_OFF_FOLDER = onHost('/var/lib/lvguard/confirm-off')
/** libvirt's own images of managed saves. */
export const SAVE_IMAGE_FOLDER = onHost('/var/lib/libvirt/qemu/save')
export const CONFIGURATION_FILE = onHost('/etc/libvirt/lvguard.conf')
export const BLOCK_FOLDER = onHost('/sys/block')
export const PROC_FOLDER = onHost('/proc')
