import { block } from './clock.ts'
import { readSync } from './files.ts'

/** Bytes. libvirt itself takes no domain XML above 4 MiB (REMOTE_STRING_MAX); a live one is longer than its source. */
export const LONGEST_XML = 8 * 1024 * 1024

/**
 * Reads standard input, or what another descriptor gives, to its end. Stops early once it has more than `limit` bytes:
 * nobody has to hold a gigabyte to refuse it.
 * @throws what the file system throws
 */
export function readStdin(limit: number, descriptor = 0): string {
  const chunks: Buffer[] = []
  let length = 0
  while (length <= limit) {
    const chunk = Buffer.allocUnsafe(64 * 1024)
    const count = readSome(chunk, descriptor)
    if (count === 0) break
    chunks.push(chunk.subarray(0, count))
    length += count
  }
  return Buffer.concat(chunks).toString('utf8')
}

function readSome(chunk: Buffer, descriptor: number): number {
  for (;;) {
    try {
      return readSync(descriptor, chunk)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : ''
      if (code === 'EOF') return 0
      if (code !== 'EAGAIN') throw error
      // A caller's non-blocking pipe: nothing there yet.
      block(5)
    }
  }
}
