import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'

const STUB = fileURLToPath(new URL('../../../src/stub.sh', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'lvguard-stub-'))
const bin = join(folder, 'bin')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A stand-in for Node that names itself and shows the words that it got. */
mkdirSync(bin)
writeFileSync(
  join(bin, 'node'),
  '#!/bin/sh\ncase $1 in --*) printf "%s " "$1"; shift ;; esac\nshift\nprintf "node:"; printf " [%s]" "$@"; exit 7\n',
)
chmodSync(join(bin, 'node'), 0o755)

/** `0`, or the words that Node got; behind them ` 0` where its status counts for nothing. */
const call = (...words: string[]): string => callAs(STUB, ...words)

function callAs(file: string, ...words: string[]): string {
  const { status, stdout } = spawnSync('/bin/sh', [file, ...words], {
    env: { PATH: `${bin}:/usr/bin:/bin`, LVGUARD_ROOT: folder },
    encoding: 'utf8',
  })
  return status === 7 ? stdout : `${stdout} ${status}`.trim()
}

test('it is one comment to JavaScript', () => expect(readFileSync(STUB, 'utf8').split('*/')).toHaveLength(2))

// By anyone but root, every call of the hook ends with 0.
const isRoot = process.getuid?.() === 0
describe.skipIf(!isRoot)(`the shell that comes before Node${isRoot ? '' : ' (needs root)'}`, () => {
  test.each<[string[], string]>([
    [['tintin', 'start', 'begin', '-'], '0'],
    [['tintin', 'started', 'begin', '-'], '0'],
    [['tintin', 'stopped', 'end', '-'], '0'],
    [['tintin', 'restore', 'begin', '-'], '0'],
    [['tintin', 'reconnect', 'begin', '-'], '0'],
    [['tintin', 'attach', 'begin', '-'], '0'],
    [['--help', 'reconnect', 'begin', '-'], '0'],
    [['-f', 'reconnect', 'begin', '-'], '0'],
    [['tintin', 'reconnect', 'begin', '-', 'more'], '0'],
    [['tintin', 'prepare', 'begin', '-'], 'node: [tintin] [prepare] [begin] [-]'],
    [['tintin', 'release', 'end', 'from snapshot'], 'node: [tintin] [release] [end] [from snapshot]'],
    [['tintin', 'migrate', 'begin', '-'], 'node: [tintin] [migrate] [begin] [-]'],
    [['$(id)', 'prepare', 'begin', '-'], 'node: [$(id)] [prepare] [begin] [-]'],
    [['', 'prepare', 'begin', '-'], 'node: [] [prepare] [begin] [-]'],
    [['a\nb', 'prepare', 'begin', '*'], 'node: [a\nb] [prepare] [begin] [*]'],
    [['reconnect', 'prepare', 'begin', '-'], 'node: [reconnect] [prepare] [begin] [-]'],
    [['tintin', 'newop', 'begin', '-'], 'node: [tintin] [newop] [begin] [-] 0'],
    [['--help'], 'node: [--help]'],
    [['agent'], '--optimize-for-size node: [agent]'],
    [['agent', 'prepare', 'begin', '-'], 'node: [agent] [prepare] [begin] [-]'],
    [['demote', 'tintin'], 'node: [demote] [tintin]'],
    [['--dry-run', 'tintin', 'reconnect', 'begin', '-'], 'node: [--dry-run] [tintin] [reconnect] [begin] [-]'],
    // A dry run with its options behind the name: not a sub-operation of a future libvirt, which would end with 0.
    [['tintin', 'prepare', '--dry-run', '--json'], 'node: [tintin] [prepare] [--dry-run] [--json]'],
    [['tintin', 'started', 'begin', '-', '--dry-run'], 'node: [tintin] [started] [begin] [-] [--dry-run]'],
    [['tintin', 'prepare', '--xml', '/a b', '--dry-run'], 'node: [tintin] [prepare] [--xml] [/a b] [--dry-run]'],
    [['tintin', 'newop', 'begin', '-h'], 'node: [tintin] [newop] [begin] [-h]'],
    [['tintin', 'reconnect', 'begin', '--help'], '0'],
    [['tintin', 'reconnect', '--dry-run', '-', '--json'], '0'],
    // R5, whatever libvirt's sub-operations may be one day.
    [['tintin', 'reconnect', 'middle', '-'], '0'],
    [['tintin', 'reconnect', '-', '-'], '0'],
    [['a:-b', 'reconnect', 'begin', '-'], '0'],
    [['-a:-b', 'reconnect', 'begin', '-'], '0'],
    [['4:begin', 'reconnect', 'end', '-'], '0'],
  ])('%j', (words, expected) => expect(call(...words)).toBe(expected))

  test.each<[string, string[], string]>([
    ['lvguard', ['holders', 'x', 'y', 'z'], 'node: [holders] [x] [y] [z]'],
    ['lvguard', ['demote', 'tintin', 'now', 'please'], 'node: [demote] [tintin] [now] [please]'],
    ['lvguard', ['tintin', 'prepare', 'now', '-'], 'node: [tintin] [prepare] [now] [-]'],
    ['lvguard', ['tintin', 'prepare', 'begin', '-'], 'node: [tintin] [prepare] [begin] [-]'],
    ['lvguard', ['tintin', 'started', 'begin', '-'], '0'],
    ['lvguard', ['tintin', 'reconnect', '-', '-'], '0'],
    ['hooks/qemu', ['holders', 'x', 'y', 'z'], 'node: [holders] [x] [y] [z] 0'],
    ['hooks/qemu.d/lvguard', ['holders', 'x', 'y', 'z'], 'node: [holders] [x] [y] [z] 0'],
  ])('called as %s: %j', (path, words, expected) => {
    const file = join(folder, path)
    mkdirSync(dirname(file), { recursive: true })
    copyFileSync(STUB, file)
    expect(callAs(file, ...words)).toBe(expected)
  })

  describe('lvmlockctl’s kill command', () => {
    /** Run by a program of that name. */
    const by = (name: string, ...words: string[]): { said: string; marks: string[] } => {
      const parent = join(folder, name)
      rmSync(parent, { force: true })
      symlinkSync('/bin/sh', parent)
      const { stdout } = spawnSync(parent, ['-c', '/bin/sh "$0" "$@"; exit 7', STUB, ...words], {
        env: { PATH: `${bin}:/usr/bin:/bin`, LVGUARD_ROOT: folder },
        encoding: 'utf8',
      })
      return { said: stdout, marks: readdirSync(join(folder, 'run/lvguard')) }
    }
    beforeEach(() => mkdirSync(join(folder, 'run/lvguard'), { recursive: true }))
    afterEach(() => rmSync(join(folder, 'run'), { recursive: true }))

    test('marks the VG before Node is loaded', () =>
      expect(by('lvmlockctl', 'kill', 'virtVG')).toEqual({ said: 'node: [kill] [virtVG]', marks: ['virtVG.killed'] }))

    test.each([
      ['kill', '../x'],
      ['kill', '-x'],
      ['kill', '.'],
      ['kill', '..'],
      ['kill', ''],
      ['kill', 'a b'],
      ['kill', 'a\nb'],
      ['kill'],
      ['kill', 'virtVG', '--help'],
      ['recover', 'virtVG'],
    ])('marks nothing for %j %j %j', (...words) => {
      expect(by('lvmlockctl', ...words.filter((word) => word !== undefined)).marks).toEqual([])
    })

    test('a person is asked first: no mark', () => expect(by('bash', 'kill', 'virtVG').marks).toEqual([]))

    test('a mark that is there stays as it is', () => {
      writeFileSync(join(folder, 'run/lvguard/virtVG.killed'), 'what it says')
      by('lvmlockctl', 'kill', 'virtVG')
      expect(readFileSync(join(folder, 'run/lvguard/virtVG.killed'), 'utf8')).toBe('what it says')
    })

    test('without a folder to mark in, Node is called all the same', () => {
      const said = (): string => {
        rmSync(join(folder, 'run/lvguard'), { recursive: true })
        writeFileSync(join(folder, 'run/lvguard'), '')
        const { stdout } = spawnSync(
          join(folder, 'lvmlockctl'),
          ['-c', '/bin/sh "$0" "$@"; exit 7', STUB, 'kill', 'virtVG'],
          { env: { PATH: `${bin}:/usr/bin:/bin`, LVGUARD_ROOT: folder }, encoding: 'utf8' },
        )
        return stdout
      }
      expect(said()).toBe('node: [kill] [virtVG]')
    })
  })

  test('a restore is looked at where a memory was saved with lvguard, and ends with 0 otherwise', () => {
    const saved = join(folder, 'var/lib/lvguard/saved')
    mkdirSync(saved, { recursive: true })
    expect(call('tintin', 'restore', 'begin', '-')).toBe('0')
    writeFileSync(join(saved, 'x.json'), '')
    writeFileSync(join(saved, 'y.json'), '')
    expect(call('$(id) *', 'restore', 'begin', '-')).toBe('node: [$(id) *] [restore] [begin] [-]')
    expect(call('tintin', 'reconnect', 'begin', '-')).toBe('0')
    rmSync(saved, { recursive: true })
  })
})
