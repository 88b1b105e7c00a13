import { cutOff } from '../kill/kill.ts'
import { markedVgs, readMark } from '../kill/mark.ts'
import { realWorld } from '../kill/real-world.ts'
import { isLeftBehind, recover } from '../kill/recover.ts'
import { vmsOn, vgsOnRecord } from '../kill/vms-on.ts'
import type { Journal } from './journal.ts'
import type { LeaseBody } from './lease-watch.ts'

/** What the watch over the leases has of this host. */
export function leaseBody(configuration: LeaseBody['configuration'], journal: Pick<Journal, 'say'>): LeaseBody {
  const world = realWorld((line) => journal.say(line))
  return {
    now: world.now,
    ask: world.ask,
    drop: world.drop,
    reset: world.reset,
    pid: world.self.pid,
    lives: world.lives,
    sleep: world.sleep,
    say: world.say,
    configuration,
    usersOf: (vg) => vmsOn(vg, world),
    marks: () => [...markedVgs()].flatMap((vg) => readMark(vg) ?? []),
    cutOff: (order) => cutOff(order, world),
    recover: (mark) => recover(mark, world),
    vgsOnRecord: () => vgsOnRecord(world),
    isLeftBehind: (vg) => isLeftBehind(vg, world),
    rehearse: () => {
      void world.tables()
      world.devices()
      for (const { pid, uuid } of world.domains([]).running) {
        const now = world.processAt(pid)
        // Remembered: when the storage hangs, a look into the memory of a QEMU may hang too.
        if (now !== undefined) world.isQemu({ pid, start: now.start }, uuid)
      }
    },
  }
}
