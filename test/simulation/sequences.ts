import type { Befall, Move } from './play.ts'

/** Milliseconds within which it comes after the one before, what comes, and to whom. */
type Part = readonly [
  number,
  Exclude<Move['kind'], 'migrate'> | 'live' | 'offline',
  (true | 'other VM' | 'last there' | 'spare' | readonly Befall[])?,
]

/** A disk becomes another volume, or the copy is given up. */
const COPIES = [
  [
    [3000, 'start'],
    [4000, 'blockcopy'],
    [6000, 'pivot'],
    [4000, 'stop'],
    [4000, 'start', true],
  ],
  [
    [3000, 'start'],
    [4000, 'blockcopy'],
    [6000, 'pivot'],
    [3000, 'live'],
  ],
  [
    [3000, 'start'],
    [4000, 'blockcopy'],
    [6000, 'unplug'],
    [3000, 'live'],
  ],
  [
    [3000, 'start'],
    [4000, 'blockcopy'],
    [4000, 'agent ends'],
    [1000, 'pivot'],
    [6000, 'agent starts'],
  ],
] as const satisfies readonly (readonly Part[])[]

/**
 * What goes wrong only when one thing comes right behind another: each within so many milliseconds of the one before,
 * on one host, or on the next one (`true`), with one VM, or with the next one; with the VM's last volume and on the
 * next host, where it is one of a volume; with the volume that is nobody's (`spare`); what befalls a migration.
 */
export const SEQUENCES = {
  // The daemon ends in the middle of a hook, and the next one starts the domain again.
  'a daemon ends in a hook': [
    [
      [3000, 'stop'],
      [600, 'libvirtd restarts'],
      [800, 'start'],
    ],
    [
      [3000, 'start'],
      [600, 'libvirtd restarts'],
      [1500, 'start'],
    ],
    [
      [3000, 'save'],
      [1500, 'libvirtd restarts'],
      [1500, 'start'],
    ],
    [
      [3000, 'start'],
      [600, 'libvirtd restarts'],
      [1500, 'start', true],
    ],
  ],
  // A daemon ends in a late phase of a migration, and the next one has to make something of that.
  'a daemon ends in a phase': [
    [
      [3000, 'start'],
      [4000, 'live', [{ what: 'source daemon', after: 0, phase: 'perform3_done' }]],
    ],
    [
      [3000, 'start'],
      [4000, 'live', [{ what: 'destination daemon', after: 0, phase: 'finish3' }]],
    ],
    [
      [3000, 'start'],
      [
        4000,
        'live',
        [
          { what: 'lost reply', after: 0 },
          { what: 'source daemon', after: 0, phase: 'confirm3_cancelled' },
        ],
      ],
    ],
  ],
  // Two hosts want it at once.
  'two hosts at once': [
    [
      [3000, 'start'],
      [300, 'start', true],
    ],
    [
      [3000, 'stop'],
      [400, 'start', true],
    ],
  ],
  // It has another name when it starts again, and what was left of it the old one.
  'another name': [
    [
      [3000, 'stop'],
      [3000, 'domrename'],
      [2000, 'start'],
    ],
    [
      [3000, 'start'],
      [1500, 'libvirtd restarts'],
      [2000, 'stop'],
      [3000, 'domrename'],
      [2000, 'start', true],
    ],
  ],
  // Its volume has another name while it runs, and when it ends or leaves.
  'a renamed volume': [
    [
      [3000, 'start'],
      [4000, 'lvrename'],
      [3000, 'stop'],
      [4000, 'lvrename back'],
    ],
    [
      [3000, 'start'],
      [4000, 'live', [{ what: 'abort', after: 2000, phase: 'perform3' }]],
      [3000, 'lvrename'],
      [6000, 'stop'],
      [4000, 'lvrename back'],
    ],
  ],
  // Another volume has its volume's name by now, and a person activates that one.
  'a name that another volume has': [
    [
      [1000, 'start'],
      [3000, 'lvrename'],
      [2000, 'active before', 'spare'],
      [3000, 'stop'],
      [9000, 'lvrename back'],
    ],
    [
      [1000, 'start'],
      [3000, 'lvrename'],
      [2000, 'active before', 'spare'],
      [3000, 'live'],
      [9000, 'lvrename back'],
    ],
  ],
  // Its disk becomes another volume while it runs.
  'copied to another volume': COPIES,
  // It gets an overlay, and what is in that goes back into the volume below.
  'a snapshot, and a commit': [
    [
      [3000, 'start'],
      [4000, 'snapshot'],
      [3000, 'live'],
      [9000, 'commit', true],
      [6000, 'pivot', true],
      [4000, 'stop', true],
      [4000, 'start'],
    ],
    [
      [3000, 'start'],
      [4000, 'snapshot'],
      [4000, 'stop'],
      [4000, 'start', true],
      [6000, 'commit', true],
      [6000, 'pivot', true],
      [4000, 'live', true],
    ],
    [
      [3000, 'start'],
      [4000, 'snapshot'],
      [4000, 'save'],
      [4000, 'start'],
      [6000, 'commit'],
      [6000, 'unplug'],
      [3000, 'live'],
    ],
    [
      [3000, 'start'],
      [4000, 'snapshot'],
      [4000, 'live'],
      [3000, 'agent ends', true],
      [3000, 'commit', true],
      [3000, 'pivot', true],
      [6000, 'agent starts', true],
    ],
    [
      [3000, 'start'],
      [4000, 'snapshot'],
      [3000, 'stop'],
      [3000, 'start'],
      [4000, 'commit'],
      [1000, 'crash of QEMU'],
      [3000, 'start', true],
    ],
    // It is not ended.
    [
      [3000, 'start'],
      [4000, 'snapshot'],
      [4000, 'commit'],
    ],
    [
      [3000, 'start'],
      [4000, 'snapshot'],
      [3000, 'libvirtd restarts'],
      [4000, 'commit'],
      [2000, 'libvirtd restarts'],
      [3000, 'pivot'],
    ],
  ],
  // A saved memory, and a life of the domain elsewhere.
  'a life elsewhere': [
    [
      [3000, 'save'],
      [4000, 'start', true],
      [8000, 'stop', true],
      [5000, 'start'],
    ],
  ],
  // What a migration has let in, and a start that is none of it.
  'let in, and started': [
    [
      [3000, 'offline'],
      [2000, 'start', true],
    ],
    [
      [3000, 'live'],
      [12_000, 'save'],
      [3000, 'offline'],
      [2000, 'start', true],
    ],
    [
      [3000, 'offline'],
      [300, 'agent ends', true],
      [300, 'start', true],
      [3000, 'agent starts', true],
    ],
  ],
  // The storage of one host hangs for longer than its lease lasts, and somebody starts its VM elsewhere.
  'storage hangs': [
    [
      [3000, 'start'],
      [3000, 'hang'],
      [300_000, 'start', true],
      [100_000, 'unhang'],
    ],
    [
      [3000, 'start'],
      [3000, 'hang'],
      [300_000, 'start', true],
      [100_000, 'unhang'],
      [2000, 'recover'],
    ],
  ],
  // A lease is lost, and what cuts its VG off is ended half-way.
  'a kill that is ended': [
    [
      [3000, 'start'],
      [100, 'kill ends'],
      [3000, 'hang'],
      [300_000, 'unhang'],
    ],
    // Nothing runs any more, so that sanlock leaves by itself.
    [
      [3000, 'start'],
      [100, 'kill ends'],
      [3000, 'hang'],
      [70_000, 'crash of QEMU'],
      [100_000, 'unhang'],
    ],
    // Nobody but that program cuts anything off.
    [
      [3000, 'start'],
      [100, 'kill ends'],
      [3000, 'hang'],
      [60_000, 'agent ends'],
      [100_000, 'unhang'],
      [20_000, 'agent starts'],
    ],
  ],
  // What a migration has let in and libvirt has refused, and a start that is none of it.
  'let in, and refused': [
    [
      [500, 'stop'],
      [2000, 'offline', [{ what: 'destination refuses', after: 0 }]],
      [2000, 'start', true],
    ],
    [
      [500, 'start'],
      [3000, 'live', [{ what: 'destination refuses', after: 0 }]],
      [3000, 'stop'],
      [3000, 'start', true],
    ],
  ],
  // It runs where an offline migration would define it.
  'defined where it runs': [
    [
      [2000, 'start', true],
      [4000, 'offline'],
    ],
  ],
  // The reply is lost while no agent looks.
  'reply lost unseen': [
    [
      [500, 'start'],
      [
        4000,
        'live',
        [
          { what: 'lost reply', after: 0 },
          { what: 'source agent', after: 19_000, phase: 'perform3_done' },
        ],
      ],
      [30_000, 'suspend'],
    ],
  ],
  // Nobody tells the source how its migration has ended.
  'left paused': [
    [
      [500, 'start'],
      [4000, 'live', [{ what: 'client', after: 3, phase: 'perform3_done' }]],
      [20_000, 'stop'],
    ],
  ],
  // The reply is lost, and nothing else happens.
  'reply lost': [
    [
      [500, 'start'],
      [4000, 'live', [{ what: 'lost reply', after: 0 }]],
    ],
  ],
  // A VM in doubt is saved.
  'saved in doubt': [
    [
      [500, 'start'],
      [4000, 'live', [{ what: 'lost reply', after: 0 }]],
      [9000, 'save'],
      [3000, 'stop'],
      [6000, 'start'],
      [6000, 'resume'],
    ],
    // It has ended where it ran on, so that this host has its disks for itself again.
    [
      [500, 'start'],
      [4000, 'live', [{ what: 'lost reply', after: 0 }]],
      [9000, 'stop', true],
      [9000, 'save'],
      [6000, 'start'],
      [6000, 'resume'],
    ],
    [
      [500, 'start'],
      [4000, 'live', [{ what: 'lost reply', after: 0 }]],
      [9000, 'stop', true],
      [9000, 'save to a file'],
      [6000, 'restore a file'],
      [6000, 'resume'],
    ],
  ],
  // It was suspended when it was saved, and is resumed after that.
  'saved while it is suspended': [
    [
      [500, 'start'],
      [4000, 'suspend'],
      [3000, 'save'],
      [6000, 'start'],
      [6000, 'resume'],
    ],
    [
      [500, 'start'],
      [4000, 'suspend'],
      [3000, 'save'],
      [4000, 'start', true],
      [8000, 'stop', true],
      [5000, 'start'],
      [5000, 'resume'],
    ],
  ],
  // The same, and what it says first has no room.
  'release without time and room': [
    [
      [500, 'agent ends'],
      [1000, 'start'],
      [1000, '/run is full'],
      [2000, 'hang at release'],
      [1000, 'stop'],
      [30_000, 'unhang'],
      [2000, '/run has room'],
      [9000, 'agent starts'],
    ],
  ],
  // A `release` that has no time left, and that no agent helps.
  'release without time': [
    [
      [500, 'agent ends'],
      [1000, 'start'],
      [2000, 'hang at release'],
      [1000, 'save'],
      [30_000, 'unhang'],
      [9000, 'agent starts'],
    ],
  ],
  // The daemon ends while a `release` begins, and the next one is quick.
  'quick daemon': [
    [
      [3000, 'start'],
      [3000, 'stop'],
      [100, 'libvirtd restarts'],
      [50, 'start'],
    ],
    [
      [3000, 'start'],
      [3000, 'slow release'],
      [3000, 'stop'],
      [100, 'libvirtd restarts'],
      [50, 'start'],
    ],
  ],
  // A saved memory takes long to be noted, the daemon ends meanwhile, and the next one starts the domain.
  'noted late': [
    [
      [3000, 'start'],
      [3000, 'slow lease'],
      [300, 'save'],
      [3000, 'libvirtd restarts'],
      [3000, 'start'],
    ],
    [
      [3000, 'start'],
      [3000, 'slow lease'],
      [300, 'save to a file'],
      [3000, 'libvirtd restarts'],
      [3000, 'start'],
    ],
  ],
  // Its lock is left behind.
  'lock left behind': [
    [
      [3000, 'start'],
      [3000, 'lvmlockd ends'],
      [2000, 'stop'],
      [4000, 'lvmlockd starts'],
    ],
  ],
  // Two VMs want one volume on one host.
  'two VMs at once': [
    [
      [2000, 'start'],
      [300, 'start', 'other VM'],
    ],
  ],
  // A saved memory, and a life elsewhere that ends while it is restored.
  'a life while it is restored': [
    [
      [2000, 'start'],
      [2000, 'save'],
      [2500, 'start'],
      [300, 'start', true],
      [1500, 'stop', true],
    ],
  ],
  // A memory in a file is restored, and once more.
  'restored twice': [
    [
      [2000, 'start'],
      [3000, 'save to a file'],
      [3000, 'restore a file'],
      [4000, 'stop'],
      [3000, 'restore a file'],
    ],

    [
      [500, 'stop'],
      [1500, 'active before'],
      [2000, 'start'],
      [3000, 'save to a file'],
      [3000, 'restore a file'],
      [4000, 'stop'],
      [3000, 'restore a file'],
    ],
  ],
  // They wait for each other, and whoever has the lock serves those that wait.
  'many at once': [
    [
      [3000, 'stop all'],
      [6000, 'start all'],
      [300, 'start', true],
    ],
    [
      [2000, 'start all'],
      [400, 'stop all'],
      [400, 'start all'],
    ],
    [
      [500, 'stop all'],
      [1500, 'start all', true],
      [1000, 'start all'],
    ],
  ],
  // A disk is plugged in and out again, and the agent looks in between.
  'plugged in and out': [
    [
      [1000, 'start'],
      [4000, 'plug'],
      [25_000, 'unplug'],
      [20_000, 'stop'],
    ],
    [
      [1000, 'start'],
      [4000, 'plug'],
      [3000, 'unplug'],
      [6000, 'live'],
    ],
    [
      [1000, 'start'],
      [4000, 'plug'],
      [25_000, 'unplug'],
    ],
    [
      [1000, 'start'],
      [4000, 'plug'],
      [25_000, 'live'],
    ],
    // What was plugged in could not be given back, and the domain starts again.
    [
      [1000, 'start'],
      [3000, 'plug'],
      [9000, 'lvmlockd ends'],
      [2000, 'stop'],
      [3000, 'lvmlockd starts'],
      [300, 'start'],
    ],
  ],
  // A person has activated its volume before, and it starts, leaves, comes back, ends.
  'active before it starts': [
    [
      [500, 'stop'],
      [3000, 'active before'],
      [3000, 'start'],
      [4000, 'stop'],
    ],
    [
      [500, 'stop'],
      [3000, 'active before'],
      [3000, 'start'],
      [4000, 'live', [{ what: 'abort', after: 2000, phase: 'perform3' }]],
      [9000, 'stop'],
    ],
    [
      [500, 'stop'],
      [3000, 'active before'],
      [3000, 'start'],
      [4000, 'live'],
      [9000, 'live', true],
      [9000, 'stop'],
    ],
    // It is wanted here and there.
    [
      [500, 'stop'],
      [3000, 'active before'],
      [3000, 'start', true],
      [3000, 'start'],
    ],
    // Another VM writes to it, between a save and a restore.
    [
      [500, 'stop'],
      [3000, 'active before'],
      [2000, 'start'],
      [3000, 'save'],
      [4000, 'start', 'other VM'],
      [5000, 'stop', 'other VM'],
      [5000, 'start'],
    ],
  ],
  // What it only reads was activated by a person where it is to come in.
  'active before where it comes in': [
    [
      [500, 'stop'],
      [500, 'stop all', true],
      [3000, 'active before', 'last there'],
      [3000, 'start'],
      [4000, 'live'],
    ],
    [
      [500, 'stop'],
      [500, 'stop all', true],
      [3000, 'active before', 'last there'],
      [3000, 'offline'],
    ],
  ],
  // A host loses its lease while no VM runs there, and a person has a volume active.
  'a lease that nobody uses': [
    [
      [2000, 'stop'],
      [4000, 'active before'],
      [2000, 'hang'],
      [300_000, 'unhang'],
      [4000, 'start'],
    ],
    [
      [2000, 'stop'],
      [3000, 'hang'],
      [300_000, 'unhang'],
      [30_000, 'start'],
    ],
  ],
  // It is to come in where no agent runs, or where the agent has just begun.
  'let in without an agent': [
    [
      [3000, 'start'],
      [3000, 'agent ends', true],
      [3000, 'live'],
      [6000, 'agent starts', true],
    ],
    [
      [3000, 'offline'],
      [300, 'agent ends', true],
      [300, 'agent starts', true],
      [60_000, 'start', true],
    ],
  ],
  // It fails when its CPUs have stopped, and a daemon ends or the agent looks late.
  'a doubt that is none': [
    [
      [1000, 'start'],
      [4000, 'live', [{ what: 'abort', after: 5, phase: 'perform3_done' }]],
      [20_000, 'stop'],
    ],
    [
      [1000, 'start'],
      [4000, 'live', [{ what: 'destination crashes', after: 5, phase: 'perform3_done' }]],
      [20_000, 'stop'],
    ],
    [
      [1000, 'start'],
      [
        4000,
        'live',
        [
          { what: 'destination daemon', after: 5, phase: 'perform3_done' },
          { what: 'source agent', after: 19_000, phase: 'perform3' },
        ],
      ],
      [20_000, 'live'],
    ],
  ],
  // One comes in where the other runs, and one of them ends.
  'two VMs that read one volume': [
    [
      [1000, 'start'],
      [2000, 'start', 'other VM'],
      [6000, 'live'],
    ],
    [
      [1000, 'start', true],
      [1000, 'start', 'other VM'],
      [4000, 'live', true],
      [9000, 'live'],
    ],
  ],
  // There is no room for what a migration calls for.
  'a full /run': [
    [
      [1000, 'start'],
      [3000, '/run is full'],
      [2000, 'live'],
      [9000, '/run has room'],
    ],
    [
      [500, 'stop'],
      [2000, 'active before'],
      [2000, 'start'],
      [3000, '/run is full'],
      [2000, 'live'],
      [9000, '/run has room'],
    ],
  ],
  // Another host is quicker than a restore, and the next one comes after that.
  'a restore that fails': [
    [
      [1000, 'start'],
      [3000, 'save'],
      [3000, 'start'],
      [300, 'start', true],
      [9000, 'stop', true],
      [4000, 'start'],
    ],
  ],
  // A host gets this lvguard in the place of an older one: while it runs, in the middle of a hook, or of a migration.
  'an upgrade': [
    [
      [3000, 'start'],
      [800, 'upgrade'],
      [6000, 'live'],
      [9000, 'upgrade', true],
    ],
    [
      [3000, 'start'],
      [4000, 'live'],
      [5000, 'upgrade'],
      [3000, 'upgrade', true],
    ],
    [
      [3000, 'start'],
      [3000, 'stop'],
      [600, 'upgrade'],
      [800, 'start'],
    ],
    [
      [3000, 'start'],
      [4000, 'save'],
      [3000, 'upgrade'],
      [3000, 'start'],
      [4000, 'stop'],
    ],
    [
      [500, 'stop'],
      [3000, 'active before'],
      [3000, 'start'],
      [4000, 'upgrade'],
      [4000, 'live'],
    ],
    [
      [500, 'stop'],
      [3000, 'active before'],
      [3000, 'start'],
      [4000, 'live'],
      [4000, 'upgrade'],
    ],
    [
      [500, 'start'],
      [4000, 'live', [{ what: 'lost reply', after: 0 }]],
      [9000, 'upgrade'],
      [3000, 'upgrade', true],
    ],
    [
      [3000, 'offline'],
      [3000, 'upgrade', true],
      [2000, 'start', true],
    ],
  ],
  // A snapshot of what a VM writes: another one reads it or writes to it, where the first one runs, and elsewhere.
  'snapshots of LVM': [
    [
      [2000, 'start'],
      [3000, 'start', 'other VM'],
      [6000, 'stop'],
      [6000, 'stop', 'other VM'],
    ],
    [
      [2000, 'start'],
      [300, 'start', 'other VM'],
      [4000, 'stop', 'other VM'],
      [3000, 'start', 'other VM'],
    ],
    [
      [2000, 'start'],
      [3000, 'start', 'other VM'],
      [4000, 'live'],
      [6000, 'live', true],
    ],
    [
      [2000, 'start all'],
      [400, 'stop all'],
      [3000, 'start all'],
    ],
    // A backup.
    [
      [2000, 'start'],
      [1000, 'start', 'other VM'],
      [4000, 'lvcreate -s'],
      [2000, 'plug snapshot to read', 'other VM'],
      [20_000, 'unplug snapshot', 'other VM'],
      [20_000, 'lvremove'],
      [4000, 'live'],
    ],
    [
      [2000, 'start'],
      [1000, 'start', 'other VM'],
      [3000, 'lvcreate -s'],
      [1000, 'plug snapshot', 'other VM'],
      [4000, 'live'],
      [9000, 'stop'],
    ],
    [
      [2000, 'start'],
      [1000, 'start', 'other VM'],
      [3000, 'lvcreate -s'],
      [1000, 'plug snapshot to read', 'other VM'],
      [4000, 'stop', 'other VM'],
      [3000, 'stop'],
      [4000, 'lvremove'],
    ],
    [
      [2000, 'start'],
      [3000, 'lvcreate -s'],
      [2000, 'plug snapshot'],
      [20_000, 'unplug snapshot'],
      [20_000, 'stop'],
    ],
    // Its storage hangs for a while.
    [
      [2000, 'start'],
      [2000, 'start', 'other VM'],
      [3000, 'plug snapshot to read', 'other VM'],
      [4000, 'hang'],
      [30_000, 'unhang'],
    ],
    [
      [2000, 'start', 'other VM'],
      [2000, 'start'],
      [2000, 'plug snapshot to read', 'other VM'],
      [1000, 'crash of QEMU'],
      [2000, 'start'],
    ],
    // The origin leaves while a snapshot of it is there.
    [
      [1000, 'start'],
      [2000, 'start', 'other VM'],
      [2000, 'lvcreate -s'],
      [300, 'live'],
      [200, 'plug snapshot', 'other VM'],
      [3000, 'stop', 'other VM'],
    ],
    [
      [500, 'stop all'],
      [3000, 'active before'],
      [2000, 'start'],
      [2000, 'start', 'other VM'],
      [4000, 'stop'],
      [3000, 'stop', 'other VM'],
    ],
    [
      [2000, 'start'],
      [2000, 'start', 'other VM'],
      [3000, 'agent ends'],
      [1000, 'plug snapshot to read', 'other VM'],
      [3000, 'stop'],
      [6000, 'agent starts'],
    ],
    // Refused elsewhere.
    [
      [2000, 'start'],
      [3000, 'start all', true],
      [4000, 'stop'],
      [2000, 'start', true],
    ],
    [
      [2000, 'start'],
      [2000, 'start', 'other VM'],
      [4000, 'save', 'other VM'],
      [3000, 'stop'],
      [3000, 'start', 'other VM'],
    ],
    [
      [2000, 'start'],
      [2000, 'start', 'other VM'],
      [3000, 'lvrename'],
      [3000, 'stop', 'other VM'],
      [3000, 'stop'],
      [4000, 'lvrename back'],
    ],
  ],
  // Volumes of one pool, in two VMs, here and elsewhere.
  'thin volumes': [
    [
      [2000, 'start'],
      [1000, 'start', 'other VM'],
      [4000, 'stop'],
      [4000, 'stop', 'other VM'],
    ],
    [
      [2000, 'start all'],
      [2000, 'start all', true],
      [3000, 'stop all'],
      [3000, 'start all', true],
    ],
    [
      [2000, 'start'],
      [2000, 'start', 'other VM'],
      [3000, 'live'],
      [4000, 'crash of QEMU'],
      [1000, 'start'],
    ],
    [
      [2000, 'start'],
      [3000, 'stop'],
      [200, 'start', 'other VM'],
      [3000, 'stop', 'other VM'],
      [2000, 'start', true],
    ],
    [
      [500, 'stop all'],
      [3000, 'active before'],
      [2000, 'start'],
      [1000, 'start', 'other VM'],
      [3000, 'stop'],
      [3000, 'stop', 'other VM'],
    ],
    [
      [2000, 'start'],
      [2000, 'start', 'other VM'],
      [4000, 'save'],
      [3000, 'start'],
      [3000, 'stop all'],
    ],
  ],
  // A backup job writes a volume that no XML of the domain names, and whatever else comes meanwhile.
  'a backup': [
    [
      [3000, 'start'],
      [4000, 'backup'],
      [6000, 'end of backup'],
      [3000, 'live'],
      [9000, 'backup', true],
      [6000, 'stop', true],
    ],
    [
      [3000, 'start'],
      [4000, 'backup'],
      [6000, 'stop'],
      [4000, 'start', true],
    ],
    [
      [3000, 'start'],
      [4000, 'backup'],
      [2000, 'agent ends'],
      [4000, 'end of backup'],
      [6000, 'agent starts'],
      [3000, 'live'],
    ],
    [
      [3000, 'start'],
      [3000, 'agent ends'],
      [4000, 'backup'],
      [4000, 'stop'],
      [6000, 'agent starts'],
    ],
    [
      [3000, 'start'],
      [4000, 'backup'],
      [3000, 'libvirtd restarts'],
      [6000, 'end of backup'],
    ],
    [
      [3000, 'start'],
      [4000, 'backup'],
      [3000, 'suspend'],
      [3000, 'resume'],
      [3000, 'libvirtd restarts'],
      [3000, 'save'],
    ],
    [
      [3000, 'start'],
      [4000, 'backup'],
      [3000, 'crash of QEMU'],
      [3000, 'start', true],
    ],
    [
      [3000, 'start'],
      [4000, 'backup'],
      [3000, 'lvmlockd ends'],
      [3000, 'end of backup'],
      [4000, 'lvmlockd starts'],
    ],
    [
      [3000, 'start'],
      [4000, 'backup'],
      [3000, 'hang'],
      [300_000, 'unhang'],
    ],
    [
      [3000, 'start'],
      [4000, 'backup'],
      [3000, 'power'],
      [3000, 'start', true],
      [20_000, 'boot'],
    ],
    [
      [3000, 'start'],
      [4000, 'backup'],
      [6000, 'end of backup'],
      [400, 'blockcopy'],
      [6000, 'pivot'],
    ],
  ],
  // The disk that is copied is shared by a policy.
  'a copy under a policy': [
    ...COPIES,
    // It is not ended.
    [
      [3000, 'start'],
      [2000, 'start', 'other VM'],
      [4000, 'blockcopy'],
    ],
    [
      [3000, 'start'],
      [4000, 'blockcopy'],
      [4000, 'libvirtd restarts'],
      [4000, 'stop'],
      [4000, 'start', true],
    ],
  ],
  // One way and back.
  'to and fro': [
    [
      [3000, 'live'],
      [9000, 'live', true],
      [9000, 'live'],
    ],
    [
      [3000, 'live'],
      [3000, 'agent ends'],
      [8000, 'agent starts'],
      [9000, 'live', true],
    ],
  ],
} as const satisfies Readonly<Record<string, readonly (readonly Part[])[]>>

export type SequenceName = keyof typeof SEQUENCES

/** They are about what most schedules do not have. */
const OF_FEW: readonly SequenceName[] = ['snapshots of LVM', 'thin volumes', 'a backup', 'a copy under a policy']
const OF_MOST = Object.entries(SEQUENCES).flatMap(([name, all]) =>
  OF_FEW.some((few) => few === name) ? [] : (all as readonly (readonly Part[])[]),
)

/** Those of all schedules, or those of one name. */
export const sequencesOf = (name?: SequenceName): readonly (readonly Part[])[] =>
  name === undefined ? OF_MOST : SEQUENCES[name]
