/** The files of one host, in memory: enough of a file system for what the product does with one. */
export interface FileNode {
  readonly kind: 'file'
  readonly ino: number
  text: string
  /** An older lvguard has written it (older.ts). */
  byOlder?: boolean
  /** Milliseconds of the epoch. */
  changed: number
  /** Text that is made when it is read, as in /proc. */
  readonly make?: () => string
  /** Who has locked it by flock(2), and who waits. */
  flock?: { owner: OpenFile | undefined; readonly waiting: { readonly file: OpenFile; readonly granted: () => void }[] }
}
export interface Folder {
  readonly kind: 'folder'
  readonly ino: number
  readonly entries: Map<string, Node>
}
export interface Link {
  readonly kind: 'link'
  readonly ino: number
  readonly target: string
}
/** A block device. */
export interface DeviceNode {
  readonly kind: 'device'
  readonly ino: number
  /** What stands at its beginning. @throws what reading it would */
  readonly bytes: () => Buffer
}
export type Node = FileNode | Folder | Link | DeviceNode

/** An open file description, which a process and its children may share (open(2)). */
export interface OpenFile {
  readonly node: Node
  /** Descriptors and children that have it. */
  users: number
}

/** What node:fs throws. Without a stack, which costs more than the look that has failed. */
export class FileError extends Error {
  constructor(
    readonly code: string,
    readonly syscall: string,
    path: string,
  ) {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(`${code}: ${syscall} '${path}'`)
    Error.stackTraceLimit = stackTraceLimit
  }
}

const known = new Map<string, readonly string[]>()

/** The names in a path. Those that are asked for often are kept: most of a simulation's time would go into this. */
function partsOf(path: string): readonly string[] {
  const before = known.get(path)
  if (before !== undefined) return before
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (known.size > 20_000) known.clear()
  known.set(path, parts)
  return parts
}

export class Disk {
  root: Folder
  #inodes = 100
  /** Told of each entry that comes, changes or goes: its folder and its name. */
  changed: (folder: string, name: string) => void = () => undefined
  /** Milliseconds of the epoch. */
  readonly #clock: () => number

  constructor(clock: () => number) {
    this.#clock = clock
    this.root = { kind: 'folder', ino: 1, entries: new Map() }
  }

  inode(): number {
    return ++this.#inodes
  }

  /** What is at a path, links followed but for the last one if not wanted. */
  find(path: string, isFollowed = true, links = 0): Node | undefined {
    let here: Node = this.root
    const parts = partsOf(path)
    for (let index = 0; index < parts.length; index++) {
      if (here.kind !== 'folder') return undefined
      const part = parts[index] ?? ''
      const next: Node | undefined = part === '..' ? undefined : here.entries.get(part)
      if (next === undefined) return undefined
      if (next.kind === 'link' && (isFollowed || index < parts.length - 1)) {
        if (links > 40) return undefined
        return this.find(
          [pathFrom(`/${parts.slice(0, index).join('/')}`, next.target), ...parts.slice(index + 1)].join('/'),
          isFollowed,
          links + 1,
        )
      }
      here = next
    }
    return here
  }

  /** The path without links; undefined where it leads nowhere. */
  real(path: string, links = 0): string | undefined {
    const parts = partsOf(path)
    for (let index = 0; index < parts.length; index++) {
      const here = `/${parts.slice(0, index + 1).join('/')}`
      const node = this.find(here, false)
      if (node === undefined) return undefined
      if (node.kind === 'link')
        return links > 40
          ? undefined
          : this.real(
              [pathFrom(`/${parts.slice(0, index).join('/')}`, node.target), ...parts.slice(index + 1)].join('/'),
              links + 1,
            )
    }
    return `/${parts.join('/')}`
  }

  folder(path: string): Folder {
    let here = this.root
    for (const part of partsOf(path)) {
      const next = here.entries.get(part)
      if (next?.kind === 'folder') here = next
      else {
        const made: Folder = { kind: 'folder', ino: this.inode(), entries: new Map() }
        here.entries.set(part, made)
        here = made
      }
    }
    return here
  }

  /** @returns undefined where there is no such folder */
  folderOf(path: string): { readonly folder: Folder; readonly name: string; readonly at: string } | undefined {
    const slash = path.lastIndexOf('/')
    const at = path.slice(0, slash)
    const folder = this.find(at)
    return folder?.kind === 'folder' ? { folder, name: path.slice(slash + 1), at } : undefined
  }

  /** Puts a whole new file there, as a rename does. */
  write(path: string, text: string): FileNode {
    const slash = path.lastIndexOf('/')
    const folder = this.folder(path.slice(0, slash))
    const node: FileNode = { kind: 'file', ino: this.inode(), text, changed: this.#clock() }
    folder.entries.set(path.slice(slash + 1), node)
    this.changed(path.slice(0, slash), path.slice(slash + 1))
    return node
  }

  /** Writes over the beginning of a file. */
  overwrite(path: string, node: FileNode, text: string): void {
    node.text = text + node.text.slice(text.length)
    this.touch(node)
    const slash = path.lastIndexOf('/')
    this.changed(path.slice(0, slash), path.slice(slash + 1))
  }

  /** A file whose text is made when it is read. */
  live(path: string, make: () => string): void {
    const slash = path.lastIndexOf('/')
    this.folder(path.slice(0, slash)).entries.set(path.slice(slash + 1), {
      kind: 'file',
      ino: this.inode(),
      text: '',
      changed: 0,
      make,
    })
  }

  link(path: string, target: string): void {
    const slash = path.lastIndexOf('/')
    this.folder(path.slice(0, slash)).entries.set(path.slice(slash + 1), { kind: 'link', ino: this.inode(), target })
  }

  device(path: string, bytes: DeviceNode['bytes'] = () => Buffer.alloc(0)): void {
    const slash = path.lastIndexOf('/')
    this.folder(path.slice(0, slash)).entries.set(path.slice(slash + 1), { kind: 'device', ino: this.inode(), bytes })
  }

  remove(path: string): boolean {
    const found = this.folderOf(path)
    if (found === undefined || !found.folder.entries.delete(found.name)) return false
    this.changed(found.at, found.name)
    return true
  }

  rename(from: string, to: string): void {
    const [source, target] = [this.folderOf(from), this.folderOf(to)]
    const node = source?.folder.entries.get(source.name)
    if (source === undefined || target === undefined || node === undefined)
      throw new FileError('ENOENT', 'rename', from)
    source.folder.entries.delete(source.name)
    target.folder.entries.set(target.name, node)
    this.changed(source.at, source.name)
    this.changed(target.at, target.name)
  }

  touch(node: FileNode): void {
    node.changed = this.#clock()
  }
}

const pathFrom = (folder: string, target: string): string => {
  if (target.startsWith('/')) return target
  const parts = [...partsOf(folder)]
  for (const part of partsOf(target)) {
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return `/${parts.join('/')}`
}

/** flock(2): whoever has waited longest gets it. */
export function giveLock(file: OpenFile): void {
  if (file.node.kind !== 'file' || file.node.flock?.owner !== file) return
  const { flock } = file.node
  flock.owner = undefined
  const next = flock.waiting.shift()
  if (next === undefined) return
  flock.owner = next.file
  next.granted()
}

/** One user of an open file is gone; with the last one its lock goes. */
export function leave(file: OpenFile): void {
  file.users--
  if (file.users === 0) giveLock(file)
}
