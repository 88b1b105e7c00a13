import { closeSync, openSync, readSync, statSync } from '../system/files.ts'
import { posix } from 'node:path'

/** What the header of a qcow2 image says of other images (QEMU: docs/interop/qcow2.txt). */
export interface Header {
  readonly backing: { readonly name: string; readonly format: string | undefined } | undefined
  /** The file that has the data, of an image with an external one. */
  readonly dataFile: string | undefined
}

/** A header that QEMU would not open, or that cannot be understood. The message is half a sentence. */
export class BadHeader extends Error {
  override readonly name = 'BadHeader'
}

const MAGIC = 0x514649fb
/** QEMU takes no longer name (block/qcow2.c). */
const LONGEST_NAME = 1023
const DATA_FILE_FEATURE = 1n << 2n
const FORMAT_EXTENSION = 0xe2792aca
const DATA_FILE_EXTENSION = 0x44415441
/** Header extensions that are looked at; QEMU knows six kinds. */
const MOST_EXTENSIONS = 64

/**
 * Reads the first cluster of an image. Everything in it may be hostile: each length is compared with what is there.
 * @param bytes the start of the image; a whole cluster, unless the image is shorter
 * @throws BadHeader
 */
export function parseHeader(bytes: Buffer): Header {
  if (bytes.length < 72) throw new BadHeader('it is too short')
  if (bytes.readUInt32BE(0) !== MAGIC) throw new BadHeader('it is no qcow2 image')
  const version = bytes.readUInt32BE(4)
  if (version !== 2 && version !== 3) throw new BadHeader(`its version is ${version}`)
  const clusterBits = bytes.readUInt32BE(20)
  if (clusterBits < 9 || clusterBits > 21) throw new BadHeader('its cluster size is wrong')
  if (version === 3 && bytes.length < 104) throw new BadHeader('it is too short')
  const length = version === 2 ? 72 : bytes.readUInt32BE(100)
  const end = Math.min(bytes.length, 2 ** clusterBits)
  if (length < 72 || (version === 3 && length < 104) || length > end) throw new BadHeader('its header length is wrong')
  const nameAt = Number(bytes.readBigUInt64BE(8))
  const nameLength = bytes.readUInt32BE(16)
  const extensions = extensionsIn(bytes.subarray(0, nameAt > 0 ? Math.min(nameAt, end) : end), length)
  const hasDataFile = version === 3 && (bytes.readBigUInt64BE(72) & DATA_FILE_FEATURE) !== 0n
  const dataFile = hasDataFile ? extensions.get(DATA_FILE_EXTENSION) : undefined
  if (hasDataFile && dataFile === undefined) throw new BadHeader('its data is in another file, which it does not name')
  if (nameAt === 0) return { backing: undefined, dataFile }
  if (nameLength > LONGEST_NAME || nameAt < length || nameAt + nameLength > end)
    throw new BadHeader('its backing file name is not inside its header')
  if (nameLength === 0) return { backing: undefined, dataFile }
  return {
    backing: { name: textOf(bytes.subarray(nameAt, nameAt + nameLength)), format: extensions.get(FORMAT_EXTENSION) },
    dataFile,
  }
}

function extensionsIn(bytes: Buffer, start: number): Map<number, string> {
  const found = new Map<number, string>()
  for (let at = start, count = 0; at + 8 <= bytes.length && count < MOST_EXTENSIONS; count++) {
    const [type, length] = [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)]
    if (type === 0) break
    if (at + 8 + length > bytes.length) throw new BadHeader('a header extension is longer than the header')
    if (type === FORMAT_EXTENSION || type === DATA_FILE_EXTENSION)
      found.set(type, textOf(bytes.subarray(at + 8, at + 8 + length)))
    at += 8 + Math.ceil(length / 8) * 8
  }
  return found
}

function textOf(bytes: Buffer): string {
  const text = bytes.toString('utf8')
  // QEMU would end a name at a NUL, and this program would not.
  if (text.includes('\0')) throw new BadHeader('a name in it is not a text')
  return text
}

const FIRST_READ = 64 * 1024

/**
 * The header of the image in a file or on a device.
 * @param offset bytes in it before the image
 * @throws BadHeader; what the file system throws
 */
export function readHeader(file: string, offset = 0): Header {
  // Whoever opens a pipe waits.
  const status = statSync(file)
  if (!status.isFile() && !status.isBlockDevice()) throw new BadHeader('it is no file and no block device')
  const descriptor = openSync(file, 'r')
  try {
    const first = readAt(descriptor, FIRST_READ, offset)
    const clusterBits = first.length >= 24 ? first.readUInt32BE(20) : 0
    return parseHeader(clusterBits > 16 && clusterBits <= 21 ? readAt(descriptor, 2 ** clusterBits, offset) : first)
  } finally {
    closeSync(descriptor)
  }
}

function readAt(descriptor: number, length: number, offset: number): Buffer {
  const buffer = Buffer.alloc(length)
  let filled = 0
  for (;;) {
    const count = readSync(descriptor, buffer, filled, length - filled, offset + filled)
    filled += count
    if (count === 0 || filled === length) return buffer.subarray(0, filled)
  }
}

/**
 * The path that a name in a header means, as QEMU reads it: relative to the folder of the image itself.
 * @returns undefined for what is no path: `nbd://…` and other protocols
 */
export function pathOfName(name: string, image: string): string | undefined {
  if (name.startsWith('json:')) return fileInJson(name.slice('json:'.length))
  const path = name.startsWith('file:') ? name.slice('file:'.length) : name
  // QEMU, path_has_protocol(): a colon before the first slash.
  if (/^[^/]*:/.test(path)) return undefined
  return path.startsWith('/') ? path : `${posix.dirname(image)}/${path}`
}

/**
 * The file in `{"driver":"raw","file":{"driver":"host_device","filename":"/dev/VG/LV"}}`, also in its flat form
 * (`"file.filename"`): libvirt follows both (virStorageSourceJSONDriverParser; measured on 9.0 and 11.3).
 */
function fileInJson(text: string): string | undefined {
  let layer: unknown
  try {
    layer = JSON.parse(text)
  } catch {
    return undefined
  }
  for (; typeof layer === 'object' && layer !== null; layer = (layer as { readonly file?: unknown }).file) {
    const words = layer as Readonly<Record<string, unknown>>
    const name = Object.entries(words).find(([key]) => /^(?:file\.)*filename$/.test(key))?.[1]
    // A relative one is QEMU's own business: it is not looked for beside the image.
    if (typeof name === 'string') return name.startsWith('/') ? name : undefined
  }
  return undefined
}
