import {
  type BigIntStats,
  type FSWatcher,
  type Stats,
  closeSync as close,
  constants,
  existsSync as exists,
  fstatSync as fstat,
  fsyncSync as fsync,
  ftruncateSync as ftruncate,
  futimesSync as futimes,
  lstatSync as lstat,
  mkdirSync as mkdir,
  openSync as open,
  readFileSync as readFile,
  readSync as read,
  readdirSync as readdir,
  readlinkSync as readlink,
  realpathSync as realpath,
  renameSync as rename,
  rmSync as rm,
  statSync as stat,
  unlinkSync as unlink,
  watch as watchFolder,
  writeFileSync as writeFile,
  writeSync as write,
} from 'node:fs'

/**
 * All that the program uses of the file system: records, VG locks, libvirt's files, /sys and /proc, the configuration,
 * the standard streams. Each does what its namesake in node:fs does, and throws what that throws. Nothing else in src
 * imports node:fs (test/unit/seam.test.ts).
 */
export interface Files {
  readFileSync(path: string, encoding: 'utf8'): string
  readdirSync(path: string): string[]
  readlinkSync(path: string): string
  /** By the system's own realpath(3). */
  realpathSync(path: string): string
  existsSync(path: string): boolean
  statSync(path: string): Stats
  /** The same; undefined where there is nothing. */
  statIfAny(path: string): Stats | undefined
  lstatSync(path: string): Stats
  writeFileSync(path: string, text: string, options: { readonly mode: number }): void
  mkdirSync(path: string, options: { readonly recursive: true; readonly mode: number }): void
  renameSync(from: string, to: string): void
  rmSync(path: string, options: { readonly force: true }): void
  unlinkSync(path: string): void
  openSync(path: string, flags: string | number, mode?: number): number
  closeSync(descriptor: number): void
  readSync(descriptor: number, buffer: Buffer, offset?: number, length?: number, position?: number | null): number
  writeSync(descriptor: number, data: string | Buffer): number
  fsyncSync(descriptor: number): void
  ftruncateSync(descriptor: number): void
  /** Sets the time of access and the time of change. */
  futimesSync(descriptor: number, at: Date): void
  /** Bytes, and when it was changed last, in nanoseconds of the epoch. */
  fstatSync(descriptor: number): Pick<BigIntStats, 'size' | 'mtimeNs'>
  watch(path: string, changed: (kind: string, name: string | null) => void): FolderEvents
}

/**
 * Flags of an open(2) for writing that does not wait, and does not make a terminal the controlling terminal of this
 * program.
 */
export const TO_WRITE_AT_ONCE = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY

/** What happens in a folder that is watched. */
export type FolderEvents = Pick<FSWatcher, 'close' | 'on'>

/** The file system of this host. */
export const REAL_FILES: Files = {
  readFileSync: readFile,
  readdirSync: (path) => readdir(path),
  readlinkSync: (path) => readlink(path),
  realpathSync: (path) => realpath.native(path),
  existsSync: exists,
  statSync: (path) => stat(path),
  statIfAny: (path) => stat(path, { throwIfNoEntry: false }),
  lstatSync: (path) => lstat(path),
  writeFileSync: writeFile,
  mkdirSync: (path, options) => void mkdir(path, options),
  renameSync: rename,
  rmSync: rm,
  unlinkSync: unlink,
  openSync: open,
  closeSync: close,
  readSync: (descriptor, buffer, offset = 0, length = buffer.length - offset, position = null) =>
    read(descriptor, buffer, offset, length, position),
  writeSync: (descriptor, data) => (typeof data === 'string' ? write(descriptor, data) : write(descriptor, data)),
  fsyncSync: fsync,
  ftruncateSync: (descriptor) => ftruncate(descriptor),
  futimesSync: (descriptor, at) => futimes(descriptor, at, at),
  fstatSync: (descriptor) => fstat(descriptor, { bigint: true }),
  watch: (path, changed) => watchFolder(path, changed),
}

let files = REAL_FILES

/** For `enter` (system/world.ts) alone. */
export const useFiles = (next: Files): void => {
  files = next
}

// Each of these does what Files says of it, in the world that the program is in.
export const readFileSync: Files['readFileSync'] = (path, encoding) => files.readFileSync(path, encoding)
export const readdirSync: Files['readdirSync'] = (path) => files.readdirSync(path)
export const readlinkSync: Files['readlinkSync'] = (path) => files.readlinkSync(path)
export const realpathSync: Files['realpathSync'] = (path) => files.realpathSync(path)
export const existsSync: Files['existsSync'] = (path) => files.existsSync(path)
export const statSync: Files['statSync'] = (path) => files.statSync(path)
export const statIfAny: Files['statIfAny'] = (path) => files.statIfAny(path)
export const lstatSync: Files['lstatSync'] = (path) => files.lstatSync(path)
export const writeFileSync: Files['writeFileSync'] = (path, text, options) => files.writeFileSync(path, text, options)
export const mkdirSync: Files['mkdirSync'] = (path, options) => files.mkdirSync(path, options)
export const renameSync: Files['renameSync'] = (from, to) => files.renameSync(from, to)
export const rmSync: Files['rmSync'] = (path, options) => files.rmSync(path, options)
export const unlinkSync: Files['unlinkSync'] = (path) => files.unlinkSync(path)
export const openSync: Files['openSync'] = (path, flags, mode) => files.openSync(path, flags, mode)
export const closeSync: Files['closeSync'] = (descriptor) => files.closeSync(descriptor)
export const readSync: Files['readSync'] = (descriptor, buffer, offset, length, position) =>
  files.readSync(descriptor, buffer, offset, length, position)
export const writeSync: Files['writeSync'] = (descriptor, data) => files.writeSync(descriptor, data)
export const fsyncSync: Files['fsyncSync'] = (descriptor) => files.fsyncSync(descriptor)
export const ftruncateSync: Files['ftruncateSync'] = (descriptor) => files.ftruncateSync(descriptor)
export const futimesSync: Files['futimesSync'] = (descriptor, at) => files.futimesSync(descriptor, at)
export const fstatSync: Files['fstatSync'] = (descriptor) => files.fstatSync(descriptor)
export const watch: Files['watch'] = (path, changed) => files.watch(path, changed)
