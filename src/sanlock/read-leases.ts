import type { LeaseArea } from '../core/lease-area.ts'
import { query } from '../system/run.ts'
import { onHost } from '../system/paths.ts'
import { HOST_RECORDS, SLOT, parseLeaseArea } from './lease-area.ts'

/**
 * What became of a look at the leases of a VG. `unread`: why not, in words; `isSilent`: the disk does not answer, and
 * nobody else should ask it.
 */
export type LeasesRead =
  | { readonly kind: 'read'; readonly area: LeaseArea }
  | { readonly kind: 'unread'; readonly why: string; readonly isSilent: boolean }

/** Milliseconds for all of it: a few for 300 leases. */
const LIMIT = 10_000

/**
 * What the child does. It reads the host records, then the first sectors of each MiB, past the page cache (O_DIRECT, as
 * sanlock: another host writes there too). O_DIRECT asks for memory that is aligned: WebAssembly's is, a Buffer's is
 * not. Its answer, in base64:
 * - two numbers of 4 bytes: the bytes of host records, and the bytes of each slot;
 * - the host records up to the last that has a name;
 * - the slots that begin with a lease.
 */
const CHILD = `
const fs = require('fs')
const memory = Buffer.from(new WebAssembly.Memory({ initial: 192 }).buffer)
const { argv: [, path, area, slot], stdout } = process
const disk = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECT)
const records = memory.subarray(0, fs.readSync(disk, memory, 0, Number(area), 0))
const sector = records.readUInt32LE(12)
let highest = 1
if (sector === 512 || sector === 4096) for (let at = 0; at + sector <= records.length; at += sector) if (records[at + 104] !== 0) highest = at / sector + 1
const length = Math.ceil(((2 + highest) * (sector || 512)) / 4096) * 4096
const answer = [Buffer.alloc(8), records.subarray(0, highest * (sector || 512))]
answer[0].writeUInt32LE(answer[1].length, 0)
answer[0].writeUInt32LE(length, 4)
const there = memory.subarray(Number(area), Number(area) + length)
for (let at = Number(slot); fs.readSync(disk, there, 0, length, at) === length; at += Number(slot)) if (there.readUInt32LE(0) === 0x06152010) answer.push(Buffer.from(there))
stdout.write(Buffer.concat(answer).toString('base64'))
`

/**
 * Reads all leases of a VG at once, from the shared disk, without a lock. A child does it: if the disk hangs, the child
 * waits for ever, and not this program. Never throws.
 * @param limit milliseconds
 */
export async function readLeases(vg: string, limit = LIMIT): Promise<LeasesRead> {
  const unread = (why: string, isSilent = false): LeasesRead => ({ kind: 'unread', why, isSilent })
  const path = onHost(`/dev/mapper/${vg.replaceAll('-', '--')}-lvmlock`)
  const { exitCode, stdout, stderr, timedOut } = await query(
    process.execPath,
    ['-e', CHILD, path, String(HOST_RECORDS), String(SLOT)],
    limit,
  )
  if (timedOut) return unread(`${path} does not answer within ${limit / 1000} s`, true)
  if (exitCode !== 0) return unread(/^Error: (.*)$/m.exec(stderr)?.[1] ?? `${path} cannot be read`)
  const parts = partsOf(Buffer.from(stdout, 'base64'))
  const area = parts === undefined ? undefined : parseLeaseArea(parts.records, parts.slots, vg)
  return area === undefined ? unread(`what stands in ${path} is not understood`) : { kind: 'read', area }
}

/** The answer of the child, cut into its parts; undefined if it is not whole. */
export function partsOf(answer: Buffer): { readonly records: Buffer; readonly slots: readonly Buffer[] } | undefined {
  if (answer.length < 8) return undefined
  const [length, span] = [answer.readUInt32LE(0), answer.readUInt32LE(4)]
  const [records, rest] = [answer.subarray(8, 8 + length), answer.subarray(8 + length)]
  if (records.length !== length || span === 0 || rest.length % span !== 0) return undefined
  return {
    records,
    slots: Array.from({ length: rest.length / span }, (_, at) => rest.subarray(at * span, (at + 1) * span)),
  }
}
