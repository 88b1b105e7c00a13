import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { parseLeaseArea } from '../../../src/sanlock/lease-area.ts'
import { partsOf } from '../../../src/sanlock/read-leases.ts'

/** What the child of readLeases answered on two hosts with real locks (test/captures/README.md). */
const capture = (name: string): Buffer =>
  gunzipSync(readFileSync(new URL(`../../captures/debian-12/lease-area-${name}.bin.gz`, import.meta.url)))

function areaOf(answer: Buffer, vg = 'virtVG') {
  const parts = partsOf(answer)
  return parts === undefined ? undefined : parseLeaseArea(parts.records, parts.slots, vg)
}

const [tintin, milou, haddock] = [
  '3c24g0-y0Xm-bSKB-jlWE-sv6m-aHX7-dDU9af',
  'voBfMT-xKxp-09Kh-oFNH-5kcz-925e-JxzpnA',
  '0LKvIY-WuU2-ODdG-22Ol-cX2W-5Lu2-nwBxtO',
]

describe('the lease area of a VG, as sanlock direct dump shows it', () => {
  test('exclusive here and there, shared by both', () => {
    const area = areaOf(capture('held'))
    expect(
      [...(area?.hosts.values() ?? [])].map(({ hostId, name, generation, ioTimeout }) => [
        hostId,
        name,
        generation,
        ioTimeout,
      ]),
    ).toEqual([
      [1, 'host1', 1, 1],
      [2, 'host2', 1, 1],
    ])
    expect([...(area?.leases.values() ?? [])]).toEqual([
      { resource: 'GLLK', exclusive: undefined, shared: [], taken: { lver: 0, owner: 0 } },
      { resource: 'VGLK', exclusive: undefined, shared: [], taken: { lver: 10, owner: 2 } },
      { resource: tintin, exclusive: { hostId: 1, generation: 1 }, shared: [], taken: { lver: 1, owner: 1 } },
      {
        resource: milou,
        exclusive: undefined,
        shared: [
          { hostId: 1, generation: 1 },
          { hostId: 2, generation: 1 },
        ],
        taken: { lver: 2, owner: 2 },
      },
      { resource: haddock, exclusive: { hostId: 2, generation: 1 }, shared: [], taken: { lver: 1, owner: 2 } },
    ])
  })

  test('a host that has left in order keeps its name and has the time 0', () => {
    const area = areaOf(capture('left'))
    expect(area?.hosts.get(2)).toMatchObject({ name: 'host2', timestamp: 0 })
    expect(area?.leases.get(milou ?? '')?.shared).toEqual([{ hostId: 1, generation: 1 }])
    expect(area?.leases.get(haddock ?? '')?.exclusive).toBeUndefined()
  })

  test.each<[string, (answer: Buffer) => Buffer]>([
    ['cut off in its head', (answer) => answer.subarray(0, 5)],
    ['cut off in the host records', (answer) => answer.subarray(0, 600)],
    ['cut off in a slot', (answer) => answer.subarray(0, answer.length - 100)],
    ['of another version of host records', (answer) => edited(answer, 8 + 6, 9)],
    ['with sectors of another size', (answer) => edited(answer, 8 + 13, 3)],
    ['without sanlock at its beginning', (answer) => edited(answer, 8, 0)],
    ['with a host record that is damaged', (answer) => edited(answer, 8 + 512, 0)],
    ['with a lease of another version', (answer) => edited(answer, 8 + 1024 + 6, 9)],
    ['with a lease of another lockspace', (answer) => edited(answer, 8 + 1024 + 56, 0x41)],
    ['with blocks of more hosts than were read', (answer) => manyHosts(answer)],
  ])('%s: not understood, so that no lease passes for free', (_, edit) => {
    expect(areaOf(edit(Buffer.from(capture('held'))))).toBeUndefined()
  })

  test('of another VG: not understood', () => expect(areaOf(capture('held'), 'otherVG')).toBeUndefined())
})

function edited(answer: Buffer, at: number, byte: number): Buffer {
  answer[at] = byte
  return answer
}

/** The record of host2 copied to host_ids up to 20, of which a slot of 4 KiB has no blocks. */
function manyHosts(answer: Buffer): Buffer {
  const record = answer.subarray(8 + 512, 8 + 1024)
  const head = Buffer.alloc(8)
  head.writeUInt32LE(20 * 512, 0)
  head.writeUInt32LE(4096, 4)
  return Buffer.concat([head, ...Array.from({ length: 20 }, () => record), answer.subarray(8 + 1024)])
}
