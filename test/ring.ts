/**
 * What a ring of tests offers to a scenario. One text, three rings: simulated tools (test/simulated), real lvm2,
 * lvmlockd and sanlock in two mount namespaces (test/locks), two real nodes (test/cluster).
 */

export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** The lock that lvmlockd holds on a host for a logical volume; `un` and absent are both "none". */
export type Lock = 'ex' | 'sh' | 'none'

export interface HookCall {
  readonly name: string
  readonly operation: string
  readonly subOperation?: string
  readonly extra?: string
  /** The domain XML on standard input. */
  readonly xml: string
  /** Words before NAME, such as `--dry-run`. */
  readonly options?: readonly string[]
}

export interface Host {
  /** The name that messages must show for this host when it holds a lock. */
  readonly name: string
  /** Runs the built dist/qemu (or the installed hook) as libvirtd does: four arguments, XML on stdin, little environment. */
  hook(call: HookCall): Promise<Result>
  /** Runs the program with these words, as an admin does (`lvguard …`). */
  program(words: readonly string[], stdin?: string): Promise<Result>
  /** Runs a tool of the host: lvchange, lvs, lvmlockctl, sanlock. Never throws for an exit status. */
  run(command: string, ...words: string[]): Promise<Result>
  /** The lock this host's lvmlockd holds on a volume, read from `lvmlockctl -i` by UUID. Never from the hook's own files. */
  lock(volume: string): Promise<Lock>
  /** Reads, writes (`undefined` removes), lists below the host's own root: /run/lvguard, /run/libvirt/qemu, /etc/libvirt, /var/log/libvirt. */
  read(path: string): Promise<string | undefined>
  write(path: string, text: string | undefined): Promise<void>
  list(directory: string): Promise<string[]>
  /** `kill -STOP`/`-CONT` of this host's lvmlockd: every lvchange of the host waits meanwhile. */
  pauseLocking(): Promise<void>
  resumeLocking(): Promise<void>
  /** Ends lvmlockd (kill -9) and starts it again (`--adopt 1`), with the lockspace as usable as before. */
  killLocking(): Promise<void>
  restartLocking(): Promise<void>
}

export interface Ring {
  readonly kind: 'simulated' | 'locks' | 'cluster'
  /** Whether volumes become device-mapper devices that can be opened (not with the real locks alone). */
  readonly devices: boolean
  readonly volumeGroup: string
  readonly hosts: readonly [Host, Host]
  /** A new logical volume, inactive on both hosts, under the wanted name; an old one of that name is removed first. */
  volume(name: string): Promise<string>
  /** Lets so many milliseconds pass on the hosts. */
  pass(milliseconds: number): Promise<void>
  /** All locks dropped, all records and status files of both hosts removed; the volumes stay. */
  reset(): Promise<void>
  close(): Promise<void>
}

/** One story, told once and played on every ring that can play it. */
export interface Scenario {
  readonly name: string
  /** Rings on which it makes no sense, with the reason; it is then reported as skipped under that name. */
  readonly not?: Partial<Record<Ring['kind'], string>>
  readonly play: (ring: Ring) => Promise<void>
}
