import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { Device } from './devices.ts'

const FOLDERS = [
  'run/lvguard',
  'run/libvirt/qemu',
  'etc/libvirt/qemu',
  'etc/libvirt/hooks',
  'usr/sbin',
  'var/log/libvirt',
  'sys/block',
  'dev/mapper',
  'dev/disk/by-id',
  'proc/sys/kernel/random',
]
/** What the program may ask the kernel about itself and about time. */
const REAL = ['proc/self', 'proc/uptime', 'proc/sys/kernel/random/boot_id']

/** The files of one host: a folder that stands for its `/`, with /sys/block and /dev as its active volumes call for. */
export class HostRoot {
  readonly path: string
  readonly #contents: string
  readonly #shown = new Map<number, { readonly state: string; readonly paths: readonly string[] }>()

  /** @param contents folder with what is on each volume, by UUID: both hosts have it */
  constructor(path: string, contents: string) {
    this.path = path
    this.#contents = contents
    for (const folder of FOLDERS)
      mkdirSync(join(path, folder), { recursive: true, mode: folder === 'run/lvguard' ? 0o700 : 0o755 })
    for (const file of REAL) symlinkSync(`/${file}`, join(path, file))
  }

  at(path: string): string {
    return join(this.path, path)
  }

  read(path: string): string | undefined {
    return existsSync(this.at(path)) ? readFileSync(this.at(path), 'utf8') : undefined
  }

  /** Replaces the file by rename, as libvirt does (FACTS 13); `undefined` removes it. */
  write(path: string, text: string | undefined): void {
    const file = this.at(path)
    if (text === undefined) {
      rmSync(file, { force: true, recursive: true })
      return
    }
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }

  list(directory: string): string[] {
    return existsSync(this.at(directory)) ? readdirSync(this.at(directory)).sort() : []
  }

  empty(directory: string): void {
    for (const name of this.list(directory)) rmSync(join(this.at(directory), name), { recursive: true })
  }

  /**
   * Takes all of /sys/block and /dev away, also what a test has put there itself: `show` makes what the devices call
   * for anew.
   */
  clearDevices(): void {
    this.#shown.clear()
    for (const folder of ['sys/block', 'dev']) this.empty(folder)
    for (const folder of ['dev/mapper', 'dev/disk/by-id']) mkdirSync(this.at(folder), { recursive: true })
  }

  /** Brings /sys/block/dm-* and /dev in step with the devices. */
  show(devices: readonly Device[]): void {
    const states = new Map(devices.map((device) => [device.minor, JSON.stringify(device)]))
    for (const [minor, { state, paths }] of this.#shown) {
      if (states.get(minor) === state) continue
      for (const path of paths) rmSync(this.at(path), { recursive: true, force: true })
      this.#shown.delete(minor)
    }
    for (const device of devices) if (!this.#shown.has(device.minor)) this.#add(device, states.get(device.minor) ?? '')
  }

  #add(device: Device, state: string): void {
    const { name, uuid, minor, holders, slaves, volume } = device
    const block = `sys/block/dm-${minor}`
    mkdirSync(this.at(`${block}/dm`), { recursive: true })
    for (const folder of ['holders', 'slaves']) mkdirSync(this.at(`${block}/${folder}`))
    for (const [file, text] of [
      ['dm/name', name],
      ['dm/uuid', uuid],
      ['dm/suspended', '0'],
      ['inflight', '       0        0'],
      ['dev', `253:${minor}`],
    ] as const)
      writeFileSync(this.at(`${block}/${file}`), `${text}\n`)
    for (const holder of holders) symlinkSync(`../../dm-${holder}`, this.at(`${block}/holders/dm-${holder}`))
    for (const slave of slaves) symlinkSync(`../../dm-${slave}`, this.at(`${block}/slaves/dm-${slave}`))
    // What stands on no other device stands on the physical volume.
    if (slaves.length === 0) symlinkSync('../../vdb', this.at(`${block}/slaves/vdb`))
    const links = [
      `dev/mapper/${name}`,
      `dev/disk/by-id/dm-name-${name}`,
      `dev/disk/by-id/dm-uuid-${uuid}`,
      ...(volume === undefined ? [] : [`dev/${volume.vg}/${volume.lv}`]),
    ]
    for (const link of links) {
      mkdirSync(dirname(this.at(link)), { recursive: true })
      symlinkSync(`${'../'.repeat(link.split('/').length - 2)}dm-${minor}`, this.at(link))
    }
    const node = `dev/dm-${minor}`
    if (volume === undefined) writeFileSync(this.at(node), '')
    else linkSync(contentFile(this.#contents, volume.uuid), this.at(node))
    this.#shown.set(minor, { state, paths: [block, node, ...links] })
  }
}

/** The file with what is on a volume; empty at first. */
export function contentFile(folder: string, uuid: string): string {
  const file = join(folder, uuid)
  if (!existsSync(file)) writeFileSync(file, '')
  return file
}
