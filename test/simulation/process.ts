import type { Stats } from 'node:fs'
import type { Start } from '../../src/system/commands.ts'
import type { Files } from '../../src/system/files.ts'
import type { Self } from '../../src/system/self.ts'
import type { Time } from '../../src/system/clock.ts'
import { startCommand } from './commands.ts'
import { FileError, type FileNode, type Node, type OpenFile, leave } from './disk.ts'
import { Actor } from './engine.ts'
import { type Host, NOBODY } from './host.ts'
import { asOlder, isUnknownToOlder } from './older.ts'
import type { Vm } from './vm.ts'
import { A_TIME, waitBegins } from './waits.ts'

/** The epoch at which every simulation begins. */
export const EPOCH = Date.UTC(2026, 0, 1)

/** What the product waits for. */
const WAITED_FOR = [A_TIME, 'dmsetup', 'flock', 'lvchange', 'lvmlockctl', 'lvs', 'sanlock', 'true', 'virsh']

export type ProcessKind = 'hook' | 'agent' | 'command'

/** A process that runs the product's code on a host. */
export class Process extends Actor {
  readonly open = new Map<number, OpenFile>()
  /** In how many waits from now it is killed; undefined: in none. */
  killedIn: number | undefined
  /** Only these waits count for that; undefined: all. */
  killedWaitingFor: string | undefined
  /** What counts the waits in which it was killed (waits.ts). */
  readonly pending = new Set<() => void>()
  stdout = ''
  stderr = ''
  /** Set when it has ended by itself. */
  status: number | undefined
  hangup: () => void = () => undefined
  /** Volumes of its domain that got another name while it was at work. */
  readonly renamed = new Set<string>()
  /** It has asked for the lock of a VG. */
  hasAskedForLock = false
  /** It runs an older lvguard, to its end. */
  readonly isOlder: boolean
  /** Of a `prepare` that is no migration's. */
  startOf: Vm | undefined
  #descriptor = 2
  #line = ''

  constructor(
    readonly host: Host,
    readonly kind: ProcessKind,
    label: string,
    readonly pid: number,
    ppid: number,
  ) {
    super(label)
    this.isOlder = host.isOlder
    this.world = { files: filesOf(this), time: timeOf(this), start: startOf(this), self: selfOf(this, ppid) }
    host.addProcess(pid, kind === 'hook' ? 'qemu' : 'lvguard')
    this.onEnd(() => {
      if (this.status === undefined) for (const killed of this.pending) killed()
      host.removeProcess(pid)
      for (const file of this.open.values()) leave(file)
      this.open.clear()
      host.processes.delete(this)
    })
    host.processes.add(this)
  }

  /** It ends by itself. */
  exit(status: number): void {
    this.status ??= status
    this.end()
  }

  say(descriptor: number, text: string): void {
    if (descriptor === 1) this.stdout += text
    else this.stderr += text
    if (this.kind !== 'agent' || descriptor !== 2) return
    // The journal, line by line.
    this.#line += text
    const lines = this.#line.split('\n')
    this.#line = lines.pop() ?? ''
    for (const line of lines) {
      this.host.engine.tell(() => `${this.host.name}: agent says: ${line.replace(/^<\d>/, '')}`)
      if (/lvguard failed/.test(line)) this.host.engine.violate('fault', `${this.label}: ${line}`)
    }
  }

  /** It will be killed in one of its waits: in any, or in one for a certain thing, so that rare ones get their share. */
  dieWaiting(stream: string, most: number): void {
    const { chance } = this.host.engine
    this.killedWaitingFor = chance.isTrue(stream, 0.5) ? chance.pick(stream, WAITED_FOR) : undefined
    this.killedIn = 1 + chance.below(stream, this.killedWaitingFor === undefined ? most : 3)
  }

  /** It begins to wait for something. @param what as of waitBegins */
  waits(what: string): void {
    if (this.killedIn === undefined || (this.killedWaitingFor ?? what) !== what || --this.killedIn > 0) return
    this.killedIn = undefined
    const { host } = this
    const chance = (): number => host.engine.chance.of(`${host.name} killed`)
    host.engine.after(this, 40 * chance(), () => {
      this.kill()
      // systemd starts it anew.
      if (this.kind === 'agent') host.engine.after(NOBODY, 20_000 * chance() ** 2, () => host.startAgent())
    })
  }

  /** kill -9. */
  kill(): void {
    this.host.engine.tell(() => `${this.host.name}: ${this.label} is killed`)
    this.end()
  }

  nextDescriptor(): number {
    return ++this.#descriptor
  }
}

const NOTHING_TO_FOLLOW = { close: () => undefined, on: () => undefined } as unknown as ReturnType<Files['watch']>

function statsOf(node: Node): Stats {
  const isFile = node.kind === 'file'
  const mtimeMs = isFile ? node.changed : 0
  return {
    ino: node.ino,
    size: isFile ? node.text.length : 0,
    mtimeMs,
    rdev: 0,
    isFile: () => isFile,
    isDirectory: () => node.kind === 'folder',
    isSymbolicLink: () => node.kind === 'link',
    isBlockDevice: () => node.kind === 'device',
    isCharacterDevice: () => false,
    isSocket: () => false,
    isFIFO: () => false,
  } as unknown as Stats
}

function filesOf(process: Process): Files {
  const { host } = process
  const { disk } = host
  const isByOlder = (node: Node | undefined): boolean =>
    node?.kind === 'file' && node.byOlder === true && !process.isOlder
  /** Undefined also for what an older lvguard would not have written. */
  const there = (path: string, isFollowed = true): Node | undefined => {
    host.show(path)
    const node = disk.find(path, isFollowed)
    return isByOlder(node) && isUnknownToOlder(path) ? undefined : node
  }
  const find = (path: string, syscall: string, isFollowed = true): Node => {
    const node = there(path, isFollowed)
    if (node === undefined) throw new FileError('ENOENT', syscall, path)
    return node
  }
  const opened = (descriptor: number): OpenFile => {
    const file = process.open.get(descriptor)
    if (file === undefined) throw new FileError('EBADF', 'fd', String(descriptor))
    return file
  }
  const fileAt = (descriptor: number): FileNode => {
    const { node } = opened(descriptor)
    if (node.kind !== 'file') throw new FileError('EINVAL', 'fd', String(descriptor))
    return node
  }
  /** Files that are open to be written over from their beginning, by descriptor. */
  const overwritten = new Map<number, string>()
  /** /run is full, or what else the schedule has in store for a write. */
  const mayWrite = (path: string, syscall: string): void => {
    if (host.isRunFull && path.startsWith('/run/')) {
      if (path.endsWith('.killed.new')) host.hadNoRoomForMark = true
      const [, uuid] = /\/\.([0-9a-f-]{36})\.gone$/.exec(path) ?? []
      if (uuid !== undefined) host.unsaid.add(uuid)
      throw new FileError('ENOSPC', syscall, path)
    }
  }
  return {
    readFileSync: (path) => {
      const node = find(path, 'open')
      if (node.kind !== 'file') throw new FileError(node.kind === 'folder' ? 'EISDIR' : 'EINVAL', 'read', path)
      const text = node.make?.() ?? node.text
      return isByOlder(node) ? asOlder(path, text, host.olderHasIds) : text
    },
    readdirSync: (path) => {
      const node = find(path, 'scandir')
      if (node.kind !== 'folder') throw new FileError('ENOTDIR', 'scandir', path)
      return [...node.entries.keys()].sort()
    },
    readlinkSync: (path) => {
      const node = find(path, 'readlink', false)
      if (node.kind !== 'link') throw new FileError('EINVAL', 'readlink', path)
      return node.target
    },
    realpathSync: (path) => {
      host.show(path)
      const real = disk.real(path)
      if (real === undefined) throw new FileError('ENOENT', 'realpath', path)
      return real
    },
    existsSync: (path) => there(path) !== undefined,
    statSync: (path) => statsOf(find(path, 'stat')),
    statIfAny: (path) => {
      const node = there(path)
      return node === undefined ? undefined : statsOf(node)
    },
    lstatSync: (path) => statsOf(find(path, 'lstat', false)),
    writeFileSync: (path, text) => {
      if (path === '/proc/sysrq-trigger') return host.reset()
      mayWrite(path, 'write')
      disk.write(path, text).byOlder = process.isOlder
    },
    mkdirSync: (path) => void disk.folder(path),
    renameSync: (from, to) => {
      disk.rename(from, to)
      host.tellRecord(process, to)
    },
    rmSync: (path) => {
      if (disk.remove(path)) host.tellRecord(process, path)
    },
    unlinkSync: (path) => {
      if (!disk.remove(path)) throw new FileError('ENOENT', 'unlink', path)
    },
    openSync: (path, flags) => {
      const isNew = typeof flags === 'string' && /^[wa]/.test(flags)
      host.show(path)
      let node = disk.find(path)
      if (node === undefined && !isNew) throw new FileError('ENOENT', 'open', path)
      if (node !== undefined && typeof flags === 'string' && flags.includes('x'))
        throw new FileError('EEXIST', 'open', path)
      if (node === undefined || flags === 'w') {
        mayWrite(path, 'open')
        node = disk.write(path, '')
        node.byOlder = process.isOlder
      }
      const descriptor = process.nextDescriptor()
      process.open.set(descriptor, { node, users: 1 })
      if (flags === 'r+') overwritten.set(descriptor, path)
      return descriptor
    },
    closeSync: (descriptor) => {
      leave(opened(descriptor))
      process.open.delete(descriptor)
      overwritten.delete(descriptor)
    },
    readSync: (descriptor, buffer, offset = 0, length = buffer.length, position = null) => {
      const { node } = opened(descriptor)
      const at = position ?? 0
      if (node.kind === 'device') return node.bytes().copy(buffer, offset, at, at + length)
      return buffer.write(fileAt(descriptor).text.slice(at), offset, length)
    },
    writeSync: (descriptor, data) => {
      const text = String(data)
      const path = overwritten.get(descriptor)
      if (descriptor <= 2) process.say(descriptor, text)
      else if (path === undefined) fileAt(descriptor).text += text
      else {
        // What is written over needs no room.
        disk.overwrite(path, fileAt(descriptor), text)
        fileAt(descriptor).byOlder = process.isOlder
        host.tellRecord(process, path)
      }
      return Buffer.byteLength(text)
    },
    fsyncSync: () => undefined,
    ftruncateSync: (descriptor) => {
      fileAt(descriptor).text = ''
    },
    futimesSync: (descriptor, at) => {
      fileAt(descriptor).changed = at.getTime()
    },
    fstatSync: (descriptor) => {
      const node = fileAt(descriptor)
      return { size: BigInt(node.text.length), mtimeNs: BigInt(Math.round(node.changed * 1e6)) }
    },
    watch: (path, changed) => {
      if (disk.find(path)?.kind !== 'folder') throw new FileError('ENOENT', 'watch', path)
      host.watch(process, path, changed)
      return NOTHING_TO_FOLLOW
    },
  }
}

function timeOf(process: Process): Time {
  const { engine } = process.host
  const after = (milliseconds: number, work: () => void): (() => void) => {
    process.waits(A_TIME)
    const ends = waitBegins(process, A_TIME)
    const cancel = engine.after(process, milliseconds, () => {
      ends()
      work()
    })
    return () => {
      ends()
      cancel()
    }
  }
  const every = (milliseconds: number, work: () => void): void => {
    engine.after(process, milliseconds, () => {
      every(milliseconds, work)
      work()
    })
  }
  return {
    monotonic: () => engine.now / 1000,
    uptime: () => engine.now / 1000,
    date: () => new Date(EPOCH + engine.now),
    after,
    every,
    soon: (work) => void engine.after(process, 0, work),
    // Nobody else goes on meanwhile: whoever is waited for has been killed.
    block: () => undefined,
  }
}

const startOf =
  (process: Process): Start =>
  (command, words, manner) =>
    startCommand(process, command, words, manner)

const selfOf = (process: Process, ppid: number): Self => ({
  pid: process.pid,
  // Whose parent has ended is a child of process 1.
  get ppid() {
    return process.host.disk.find(`/proc/${ppid}`) === undefined ? 1 : ppid
  },
  environment: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  uid: () => 0,
  hostname: () => process.host.name,
  isTerminal: () => false,
  random: () => process.host.engine.chance.of(`${process.label} random`),
  kill: (pid) => process.host.killPid(pid),
  onHangup: (work) => {
    process.hangup = work
  },
  hurry: () => () => undefined,
  exit: (status) => process.exit(status),
})
