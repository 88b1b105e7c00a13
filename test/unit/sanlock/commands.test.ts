import { describe, expect, test } from 'vitest'
import {
  dumpArguments,
  hostNameArguments,
  hostStatusArguments,
  leaderArguments,
  parseHostName,
  parseHostStatus,
  parseLeader,
  parseOwnHostId,
  parseSharers,
} from '../../../src/sanlock/commands.ts'
import { answersOf } from '../support/captures.ts'
import { logicalVolume } from '../support/lvm.ts'

// sanlock 3.8.5 and 3.9.5, as they answered on two hosts.
const LEADER = `read_leader done 0
magic 0x6152010
version 0x60004
flags 0x10
sector_size 512
num_hosts 2000
max_hosts 2000
owner_id 2
owner_generation 1
lver 5
space_name lvm_virtVG
resource_name 5dacuj-T6Pg-TQfq-Shce-fJKf-507r-8cuuij
timestamp 687
checksum 0xdcf8fa
io_timeout 0
write_id 2
write_generation 1
write_timestamp 687
`
const DUMP = `  offset                            lockspace                                         resource  timestamp  own  gen lver
70254592                           lvm_virtVG           5dacuj-T6Pg-TQfq-Shce-fJKf-507r-8cuuij 0000000000 0002 0001 3
                                                                                                          0001 0001 SH
                                                                                                          0002 0001 SH
`
const STATUS = `1 timestamp 671
    last_check=674
    last_live=674
    last_req=0
    owner_id=1
    owner_generation=1
    timestamp=671
    io_timeout=10
    owner_name=host1
2 timestamp 653
    last_check=674
    last_live=674
    last_req=0
    owner_id=2
    owner_generation=1
    timestamp=653
    io_timeout=10
    owner_name=a5cc2817-25e7-4b05-a7e1-e06557392540.node2
`
const GETS = `s lvm_virtVG:2:/dev/mapper/virtVG-lvmlock:0 
h 1 gen 1 timestamp 671 LIVE
`

describe('who holds a lease exclusively', () => {
  test.each<[string, string, ReturnType<typeof parseLeader>]>([
    ['held by host 2', LEADER, { owner: 2, taken: { lver: 5, owner: 2 } }],
    [
      'free or shared',
      LEADER.replace('\ntimestamp 687', '\ntimestamp 0'),
      { owner: undefined, taken: { lver: 5, owner: 2 } },
    ],
    ['no count', LEADER.replace('lver 5', 'lver -'), undefined],
    ['an error of sanlock', 'read_leader done -202\n', undefined],
    ['half an answer', LEADER.slice(0, LEADER.indexOf('resource_name')), undefined],
    ['half an answer, without the time stamp', LEADER.slice(0, LEADER.indexOf('timestamp 687')), undefined],
    ['no owner', LEADER.replace('owner_id 2', 'owner_id x'), undefined],
    ['no time', LEADER.replace('\ntimestamp 687', '\ntimestamp -'), undefined],
    ['nothing', '', undefined],
  ])('%s', (_, stdout, expected) => expect(parseLeader(stdout)).toEqual(expected))
})

describe('who shares a lease', () => {
  test.each<[string, string, number[] | undefined]>([
    ['hosts 1 and 2', DUMP, [1, 2]],
    ['nobody', DUMP.split('\n').slice(0, 2).join('\n'), []],
    ['a host_id of four digits', DUMP.replace('0001 0001 SH', '1999 0017 SH'), [1999, 2]],
    // sanlock prints generations with %04llu: they are longer after ten thousand lockspace starts.
    ['a long generation', DUMP.replace('0001 0001 SH', '0001 12345 SH'), [1, 2]],
    ['nothing', '', undefined],
    // R15: what may be a sharer is not overlooked.
    ['a sharer of another form', DUMP.replace('0001 0001 SH', '0001 0001 shared'), undefined],
    ['another lease', DUMP.replaceAll('5dacuj', '5dacuk'), undefined],
    ['the head alone', DUMP.slice(0, DUMP.indexOf('\n') + 1), undefined],
  ])('%s', (_, stdout, expected) =>
    expect(parseSharers(stdout, '5dacuj-T6Pg-TQfq-Shce-fJKf-507r-8cuuij')).toEqual(expected),
  )
})

describe('when hosts were last alive', () => {
  test('both hosts, by the names that a person knows', () => {
    expect([...parseHostStatus(STATUS)]).toEqual([
      [1, { name: 'host1', lastLive: 674, ioTimeout: 10 }],
      [2, { name: 'node2', lastLive: 674, ioTimeout: 10 }],
    ])
  })
  test('another io_timeout', () =>
    expect(parseHostStatus(STATUS.replaceAll('io_timeout=10', 'io_timeout=1')).get(1)?.ioTimeout).toBe(1))
  test.each([
    ['', 0],
    ['1 timestamp 671\n', 0],
    ['x\n', 0],
    [STATUS.slice(0, STATUS.indexOf('2 timestamp')), 1],
  ])('%j has %i hosts', (stdout, count) => expect(parseHostStatus(stdout).size).toBe(count))
})

describe('names', () => {
  test('of a host_id', () =>
    expect(
      parseHostName(LEADER.replace(/resource_name .*/, 'resource_name a5cc2817-25e7-4b05-a7e1-e06557392540.node2')),
    ).toBe('node2'))
  test('as the administrator gave it', () => expect(parseHostName('resource_name host1\n')).toBe('host1'))
  test('of a host_id that nobody has', () => expect(parseHostName('read_leader done -223\n')).toBe(''))
  test('this host', () => expect(parseOwnHostId(GETS, 'virtVG')).toBe(2))
  test('not in this lockspace', () =>
    expect([parseOwnHostId(GETS, 'VG'), parseOwnHostId('', 'virtVG')]).toEqual([undefined, undefined]))
  test('this host, in the captures', () => {
    const gets = answersOf('debian-12/lvm.txt').find(({ command }) => command.startsWith('sanlock client gets'))
    expect(parseOwnHostId(gets?.stdout ?? '', 'virtVG')).toBe(1)
  })
})

describe('the questions', () => {
  const volume = logicalVolume({ vg: 'virt-VG', lv: 'root' }, { lockUuid: 'LOCK' })
  test.each<[string, string[], string]>([
    [
      'who holds it',
      leaderArguments(volume, 70_254_592),
      'direct read_leader -r lvm_virt-VG:LOCK:/dev/mapper/virt--VG-lvmlock:70254592',
    ],
    [
      'who shares it',
      dumpArguments('virt-VG', 70_254_592),
      'direct dump /dev/mapper/virt--VG-lvmlock:70254592:1048576',
    ],
    ['who is alive', hostStatusArguments('virtVG'), 'client host_status -D -s lvm_virtVG'],
    [
      'what is it called',
      hostNameArguments('virtVG', 2),
      'direct read_leader -s lvm_virtVG:2:/dev/mapper/virtVG-lvmlock:0',
    ],
  ])('%s', (_, words, expected) => expect(words.join(' ')).toBe(expected))
})
