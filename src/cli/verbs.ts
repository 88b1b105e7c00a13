/** An option of a verb. */
export interface Option {
  /** What has to follow it, as usage calls it; absent for one that stands alone. */
  readonly value?: string
  /**
   * For a value that may be left out: what counts then. The value must be a number: so an operand behind the option is
   * not taken for it.
   */
  readonly isValueOptional?: { readonly otherwise: string }
  readonly help: string
}

/** One thing that can be asked for on the command line. */
export interface Verb {
  /** What follows it, as usage shows it. */
  readonly operands: string
  /** How many words may follow it: at least, at most. */
  readonly count: readonly [number, number]
  /** What it needs, for the sentence that says that it is not there. */
  readonly needs: string
  readonly options: Readonly<Record<string, Option>>
  /** One line. */
  readonly help: string
  /** What `VERB --help` says beyond that. */
  readonly more?: readonly string[]
  /** Its exit statuses, where they are not those of the others (usage.ts). */
  readonly status?: string
}

const verbs = <Name extends string>(table: Readonly<Record<Name, Verb>>): Readonly<Record<Name, Verb>> => table

/**
 * Every verb: usage, `VERB --help`, lvguard(8) and the reading of a command line (command.ts) come from here;
 * run-command.ts says what each does.
 */
export const VERBS = verbs({
  '--dry-run': {
    operands: 'NAME OPERATION [SUB-OPERATION [EXTRA]]',
    count: [2, 4],
    needs: 'NAME OPERATION [SUB-OPERATION [EXTRA]]',
    options: {
      json: { help: 'the same as JSON' },
      xml: { value: 'FILE', help: 'the domain XML from a file instead of standard input (virsh dumpxml NAME > FILE)' },
    },
    help: 'show what a hook call would do, and why, and do nothing',
    more: [
      'Reads the domain XML from standard input: virsh dumpxml tintin | lvguard --dry-run tintin prepare',
      'The lines without # can be pasted into a shell. Operations worth a look are prepare (a start), release (an end), migrate (a migration to',
      'this host) and restore (of a saved memory); lvguard does nothing at the others. Exit status 3: this host could not be looked at, so that',
      'the plan is that of the XML alone, or nobody here can say who holds a volume.',
    ],
  },
  agent: {
    operands: '',
    count: [0, 0],
    needs: 'no further word',
    options: {},
    help: 'demote, promote and repair the locks of the VMs of this host, as their states call for',
    more: ['It is a service: systemctl start lvguard. Its lines are in the journal: journalctl -u lvguard'],
  },
  check: {
    operands: '',
    count: [0, 0],
    needs: 'no further word',
    options: {
      json: { help: 'the same as JSON' },
      quiet: { help: 'only the first line, and nothing where all is well' },
      changes: {
        help: 'only what has come and gone since the last time, with the priorities of the journal (lvguard-check.service)',
      },
      prometheus: {
        value: 'FILE',
        help: 'write a file for the textfile collector too, by rename (FILE ends in .prom)',
      },
      host: { value: 'HOST', help: 'compare this host with another one instead, over ssh' },
      facts: { help: 'what this host says of itself to --host on another one, as JSON' },
    },
    help: 'say what is not as it should be on this host, and what mends it: locks, watchdog, LVM, storage, DRBD, hook, agent, VMs',
    more: [
      'Each finding has a code that never changes its meaning (README, Is all well), what is wrong, and the command or the setting that mends it.',
      'What cannot be told is unknown, and no all-clear. mute = [ "LVG104" ] in lvguard.conf leaves a code out. lvguard-check.timer runs it every five',
      'minutes, and puts what has changed into the journal. --host asks lvguard on the other host, by ssh as root, and says what differs between the two',
      'and should not: versions, settings, io_timeout, volume groups, definitions of VMs, what these need, processors, clocks (LVG601 to LVG611).',
    ],
    status: 'Exit status, as that of a monitoring plugin: 0 ok, 1 warning, 2 critical, 3 unknown.',
  },
  'check-config': {
    operands: '[FILE]',
    count: [0, 1],
    needs: 'at most one file',
    options: { json: { help: 'the same as JSON' } },
    help: 'say all that is wrong with the configuration (/etc/libvirt/lvguard.conf, or FILE)',
    more: [
      'Exit status 1: something is wrong, each with its line. What it names that this host does not have (a volume group, a volume, the folder of',
      'the log) is a warning, as far as this host can tell.',
    ],
  },
  'confirm-off': {
    operands: 'HOST',
    count: [1, 1],
    needs: 'one host, by its name',
    options: { yes: { help: 'without typing the name once more' } },
    help: 'say that the other host of a DRBD resource is certainly off, so that VMs start here although DRBD does not see it',
    more: [
      'Asks for the name once more. It counts until DRBD sees that host again, or this host boots: after a boot say it anew. It is kept in',
      '/var/lib/lvguard/confirm-off.',
    ],
  },
  demote: {
    operands: 'DOMAIN',
    count: [1, 1],
    needs: 'one domain, by its name or UUID',
    options: { force: { help: 'although libvirt does not say that the VM is migrating' } },
    help: 'exclusive -> shared, on the source of a migration; the agent does it by itself',
  },
  'fence-peer': {
    operands: '',
    count: [0, 0],
    needs: 'no further word',
    options: {},
    help: "DRBD's handler: have fence_command switch the other host off, while all I/O waits",
    more: [
      'DRBD calls it, not a person: handlers { fence-peer "/usr/sbin/lvguard fence-peer"; } with fencing resource-and-stonith. Exit status 7: the host',
      'is off, and DRBD goes on; any other: nothing says so, and I/O stays frozen. It answers one io_timeout before the lease of this host runs out.',
    ],
  },
  evacuate: {
    operands: '[VM]...',
    count: [0, 1000],
    needs: 'VMs, or nothing',
    options: {
      to: { value: 'HOST', help: 'where to; needed where more than one other host is alive' },
      parallel: { value: 'NUMBER', help: 'how many migrate at once; 2 otherwise' },
      'dry-run': { help: 'say what would go, what would stay, and why; migrate nothing' },
    },
    help: 'migrate all VMs of this host, or these, live to another host, before a reboot',
    more: [
      'Looks at every VM first: whether its volumes can be shared, its cache modes, whether its name is known there; and at the other host: libvirt,',
      'agent, locking. What cannot go stays, and is named. A VM that fails does not keep the others. lvguard return fetches them back. Goes through',
      'virsh and ssh, as root. lvguard-evacuate.service, disabled by default, does it at shutdown.',
    ],
    status:
      'Exit status: 0 all have gone, 1 some have not, and are named, 2 wrong usage, 3 this host cannot be looked at.',
  },
  kill: {
    operands: 'VG',
    count: [1, 1],
    needs: 'one volume group',
    options: {
      yes: { help: 'without a question' },
      drop: { help: 'when it is done, have lvmlockd give up its locks, as lvmlockctl --drop does' },
    },
    help: 'cut a volume group off on this host: kill its VMs, and make its devices fail',
    more: [
      'The agent does it by itself when this host has lost its lease (on_lost_lease). It is also the command for global/lvmlockctl_kill_command in',
      'lvm.conf. In a terminal it needs --yes. Until lvguard recover VG nothing starts on that volume group here. Exit status 0: nothing here can',
      'write on it any more; 1: something can, and it is named.',
    ],
  },
  recover: {
    operands: 'VG',
    count: [1, 1],
    needs: 'one volume group',
    options: {},
    help: 'use a volume group here again that was cut off: start its locking, and say where its VMs are',
    more: [
      'The agent does it by itself when the storage answers again, but for a volume group that a person has cut off.',
    ],
  },
  return: {
    operands: '[VM]...',
    count: [0, 1000],
    needs: 'VMs, or nothing',
    options: {
      parallel: { value: 'NUMBER', help: 'how many migrate at once; 2 otherwise' },
      'dry-run': { help: 'say what would come back; migrate nothing' },
    },
    help: 'fetch back what lvguard evacuate has sent away from this host',
    more: ['Type it on the host that is back. What runs here already, or nowhere any more, is said.'],
    status: 'Exit status: 0 all are here, 1 some are not, and are named, 2 wrong usage.',
  },
  status: {
    operands: '[VM|VG/LV|VG]...',
    count: [0, 1000],
    needs: 'VMs, volumes or volume groups, or nothing',
    options: {
      json: { help: 'the same as JSON (README, What runs where)' },
      watch: {
        value: 'SECONDS',
        isValueOptional: { otherwise: '2' },
        help: 'again and again, every 2 seconds or so many, until Ctrl-C',
      },
    },
    help: 'show what runs where: VMs, volumes, locks and hosts of the whole cluster, as this host sees them',
    more: [
      'Reads the leases on the shared storage, sanlock, LVM and the files of libvirt, without taking a lock. VMs of this host by name; what others',
      'hold, below the host that holds it, with the VMs that a definition on this host names.',
    ],
    status:
      'Exit status: 0 all of it could be read, 1 there is no such VM, volume or volume group, 2 wrong usage, 3 something could not be read, and is named.',
  },
  holders: {
    operands: 'VG/LV...',
    count: [1, 1000],
    needs: 'volumes, as VG/LV',
    options: { json: { help: 'the same as JSON' } },
    help: 'say who holds volumes, a line for each holder, for scripts',
    more: [
      'VOLUME MODE HOST seen=SECONDS takeable=WHEN: MODE is exclusive, shared, free or unknown; seen, how long ago the host has renewed its lease;',
      'takeable, when another host could take the lock: now, when-released, in so many seconds (of a host that is silent), or unknown.',
    ],
    status:
      'Exit status: 0 known, 1 there is no such volume, 2 wrong usage, 3 of one of them nobody here can say who holds it.',
  },
  sync: {
    operands: '[VM]...',
    count: [0, 1000],
    needs: 'VMs, or nothing',
    options: {
      to: { value: 'HOST', help: 'the other host' },
      'dry-run': { help: 'show what differs, change nothing' },
      yes: { help: 'without a question; what is newer on the other host stays as it is' },
    },
    help: 'define the VMs of this host, or these, on another host as they are defined here',
    more: [
      'Shows what would change there, in lines, and asks for each VM. Where both differ, the host that holds the volumes has the newer definition, and',
      'that is said. No definition is ever removed. Goes through virsh and ssh, as root. Passwords are defined there too, and not shown.',
    ],
    status: 'Exit status: 0 all are the same, 1 some are not, and are named, 2 wrong usage.',
  },
  with: {
    operands: 'VG/LV... -- COMMAND [WORD]...',
    count: [2, 100_000],
    needs: 'volumes, as VG/LV, then -- and a command',
    options: {
      shared: { help: 'other hosts may share them; as a rule nobody else has them' },
      'hand-over': { help: 'a VM that the command starts here takes them over (virt-install does so without this)' },
    },
    help: 'activate and lock volumes, run a command, and give them back, whatever becomes of it',
    more: [
      'While the command runs no VM starts on these volumes, here or on another host, but the one that virt-install itself makes. They are given back',
      'also after Ctrl-C. When lvguard itself is killed, the agent gives them back. A volume that was active before stays active.',
      'lvguard with virtVG/milou -- qemu-img convert -n -O raw debian-12.qcow2 /dev/virtVG/milou',
    ],
    status:
      'Exit status: that of the command; 1 the volumes cannot be had, or not given back; 2 wrong usage; 126 a signal ended it; 127 there is no such command.',
  },
  promote: {
    operands: 'DOMAIN',
    count: [1, 1],
    needs: 'one domain, by its name or UUID',
    options: {},
    help: 'shared -> exclusive, where the VM runs; the agent does it by itself',
  },
})

/** A verb, as it is typed. */
export type VerbName = keyof typeof VERBS
/** All of them, in the order in which usage shows them. */
export const VERB_NAMES = Object.keys(VERBS) as VerbName[]
/** With the types that a name from the table has, whichever it is. */
export const verbOf = (name: VerbName): Verb => VERBS[name]
