import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { BadHeader, parseHeader, pathOfName, readHeader } from '../../../src/acts/qcow2.ts'
import { qcow2 } from '../../support/qcow2.ts'

const folder = mkdtempSync(join(tmpdir(), 'lvguard-qcow2-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('what a header says', () => {
  test.each<[string, Parameters<typeof qcow2>[0], ReturnType<typeof parseHeader>]>([
    ['nothing below', {}, { backing: undefined, dataFile: undefined }],
    [
      'version 2',
      { version: 2, backing: '/dev/v/g' },
      { backing: { name: '/dev/v/g', format: undefined }, dataFile: undefined },
    ],
    [
      'a backing file and its format',
      { backing: '/dev/v/g', format: 'qcow2' },
      { backing: { name: '/dev/v/g', format: 'qcow2' }, dataFile: undefined },
    ],
    [
      'small clusters',
      { clusterBits: 9, backing: 'golden', format: 'raw' },
      { backing: { name: 'golden', format: 'raw' }, dataFile: undefined },
    ],
    [
      'clusters of 2 MiB, with the name at their end',
      { clusterBits: 21, backing: 'g', nameAt: 2 ** 21 - 1 },
      { backing: { name: 'g', format: undefined }, dataFile: undefined },
    ],
    ['an external data file', { dataFile: '/dev/v/data' }, { backing: undefined, dataFile: '/dev/v/data' }],
    ['an empty name', { backing: '' }, { backing: undefined, dataFile: undefined }],
  ])('%s', (_, image, expected) => {
    expect(parseHeader(qcow2(image))).toEqual(expected)
    const file = join(folder, 'image')
    writeFileSync(file, qcow2(image))
    expect(readHeader(file)).toEqual(expected)
  })
})

describe('what is wrong, and is refused', () => {
  const broken = (
    change: (bytes: Buffer) => void,
    image: Parameters<typeof qcow2>[0] = { backing: '/dev/v/g' },
  ): Buffer => {
    const bytes = qcow2(image)
    change(bytes)
    return bytes
  }
  test.each<[string, Buffer]>([
    ['empty', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(65536)],
    ['another magic', broken((bytes) => bytes.writeUInt32BE(0x514649fa, 0))],
    ['version 1', broken((bytes) => bytes.writeUInt32BE(1, 4))],
    ['version 4', broken((bytes) => bytes.writeUInt32BE(4, 4))],
    ['a name of 1024 bytes', broken((bytes) => bytes.writeUInt32BE(1024, 16))],
    ['a name of 4 GiB', broken((bytes) => bytes.writeUInt32BE(0xffffffff, 16))],
    ['a name inside the header', broken((bytes) => bytes.writeBigUInt64BE(80n, 8))],
    ['a name beyond the first cluster', broken((bytes) => bytes.writeBigUInt64BE(65536n, 8))],
    ['a name at the end of the world', broken((bytes) => bytes.writeBigUInt64BE(0xffffffffffffffffn, 8))],
    ['a name with a NUL', qcow2({ backing: '/dev/v/g\0/x' })],
    ['clusters of one byte', broken((bytes) => bytes.writeUInt32BE(0, 20))],
    ['clusters of 4 GiB', broken((bytes) => bytes.writeUInt32BE(32, 20))],
    ['a header of 4 GiB', broken((bytes) => bytes.writeUInt32BE(0xffffffff, 100))],
    ['a header of nothing', broken((bytes) => bytes.writeUInt32BE(0, 100))],
    [
      'an extension of 4 GiB',
      broken((bytes) => bytes.writeUInt32BE(0xffffffff, 108), { backing: '/dev/v/g', format: 'qcow2' }),
    ],
    ['an external data file without a name', broken((bytes) => bytes.writeBigUInt64BE(4n, 72))],
    ['cut off in its middle', qcow2({ backing: '/dev/v/g' }).subarray(0, 100)],
  ])('%s', (_, bytes) => expect(() => parseHeader(bytes)).toThrow(BadHeader))

  test('whatever bytes there are, it answers or refuses, and never with a name that is not there', () => {
    const anyHeader = fc.tuple(
      fc.uint8Array({ minLength: 0, maxLength: 200 }),
      fc.array(fc.tuple(fc.nat({ max: 199 }), fc.nat({ max: 255 })), { maxLength: 8 }),
    )
    fc.assert(
      fc.property(anyHeader, ([tail, flips]) => {
        const bytes = Buffer.concat([
          qcow2({ backing: '/dev/v/golden', format: 'qcow2' }).subarray(0, 300),
          Buffer.from(tail),
        ])
        for (const [at, byte] of flips) bytes[at] = byte
        try {
          const { backing, dataFile } = parseHeader(bytes)
          // Cut in the middle of a letter, by itself it reads otherwise than in the whole.
          for (const name of [backing?.name, dataFile])
            if (name !== undefined && !name.includes('\ufffd')) expect(bytes.toString('utf8')).toContain(name)
        } catch (error) {
          expect(error).toBeInstanceOf(BadHeader)
        }
      }),
      { numRuns: 2000 },
    )
  })
})

test.each<[string, string | undefined]>([
  ['/dev/v/g', '/dev/v/g'],
  ['golden', '/dev/v/golden'],
  ['../w/g', '/dev/v/../w/g'],
  ['./g', '/dev/v/./g'],
  ['file:/dev/v/g', '/dev/v/g'],
  ['file:g', '/dev/v/g'],
  ['/dev/v/a:b', '/dev/v/a:b'],
  ['./a:b', '/dev/v/./a:b'],
  ['nbd://host/x', undefined],
  ['json:{"file.filename":"/dev/v/g"}', '/dev/v/g'],
  ['json:{"driver":"raw","file":{"driver":"host_device","filename":"/dev/v/g"}}', '/dev/v/g'],
  ['json:{"file.file.filename":"/dev/v/g"}', '/dev/v/g'],
  ['json:{"driver":"file","filename":"g"}', undefined],
  ['json:{"driver":"qcow2","file":{"driver":"nbd","host":"h"}}', undefined],
  ['json:{"filename":"nbd://host/x"}', undefined],
  ['json:{"file":null}', undefined],
  ['json:{', undefined],
  ['rbd:pool/x', undefined],
  ['a:b', undefined],
  ['https://x/y', undefined],
])('the path of %s', (name, path) => expect(pathOfName(name, '/dev/v/overlay')).toBe(path))

const hasQemuImg = (() => {
  try {
    execFileSync('qemu-img', ['--version'])
    return true
  } catch {
    return false
  }
})()

test.skipIf(!hasQemuImg)(
  `it reads what qemu-img writes as qemu-img reads it${hasQemuImg ? '' : ' (needs qemu-img, package qemu-utils)'}`,
  () => {
    const create = (name: string, ...options: string[]): string => {
      const file = join(folder, name)
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, file, '64M'])
      return file
    }
    const golden = create('golden.qcow2')
    const images = [
      golden,
      create('overlay', '-b', golden, '-F', 'qcow2'),
      create('old', '-o', 'compat=0.10', '-b', golden, '-F', 'qcow2'),
      create('relative', '-b', 'golden.qcow2', '-F', 'qcow2'),
      create('big', '-o', 'cluster_size=2M', '-b', golden, '-F', 'qcow2'),
      create('small', '-o', 'cluster_size=512', '-b', golden, '-F', 'qcow2'),
      create('data', '-o', `data_file=${join(folder, 'raw')}`),
    ]
    for (const image of images) {
      const told = JSON.parse(
        execFileSync('qemu-img', ['info', '-U', '--output=json', image], { encoding: 'utf8' }),
      ) as {
        'backing-filename'?: string
        'backing-filename-format'?: string
        'format-specific': { data: { 'data-file'?: string } }
      }
      const { backing, dataFile } = readHeader(image)
      expect([backing?.name, backing?.format, dataFile]).toEqual([
        told['backing-filename'],
        told['backing-filename-format'],
        told['format-specific'].data['data-file'],
      ])
    }
  },
)
