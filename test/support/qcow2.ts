/** What an image's header is to say. */
export interface Image {
  readonly version?: 2 | 3
  readonly clusterBits?: number
  readonly backing?: string
  readonly format?: string
  readonly dataFile?: string
  /** Where the name of the backing file stands, if not right behind the extensions. */
  readonly nameAt?: number
}

/** The first cluster of a qcow2 image of 64 MiB (QEMU: docs/interop/qcow2.txt), written as qemu-img does. */
export function qcow2({ version = 3, clusterBits = 16, backing, format, dataFile, nameAt }: Image): Buffer {
  const bytes = Buffer.alloc(2 ** clusterBits)
  const headerLength = version === 2 ? 72 : 104
  bytes.writeUInt32BE(0x514649fb, 0)
  bytes.writeUInt32BE(version, 4)
  bytes.writeUInt32BE(clusterBits, 20)
  bytes.writeBigUInt64BE(64n * 1024n * 1024n, 24)
  if (version === 3) {
    if (dataFile !== undefined) bytes.writeBigUInt64BE(4n, 72)
    bytes.writeUInt32BE(4, 96)
    bytes.writeUInt32BE(headerLength, 100)
  }
  let at = headerLength
  for (const [type, text] of [
    [0xe2792aca, format],
    [0x44415441, dataFile],
  ] as const) {
    if (text === undefined) continue
    bytes.writeUInt32BE(type, at)
    bytes.writeUInt32BE(Buffer.byteLength(text), at + 4)
    bytes.write(text, at + 8)
    at += 8 + Math.ceil(Buffer.byteLength(text) / 8) * 8
  }
  if (backing !== undefined) {
    const start = nameAt ?? at + 8
    bytes.writeBigUInt64BE(BigInt(start), 8)
    bytes.writeUInt32BE(Buffer.byteLength(backing), 16)
    bytes.write(backing, start)
  }
  return bytes
}
