import { REAL_TIME, type Time, useTime } from './clock.ts'
import { REAL_START, type Start, useStart } from './commands.ts'
import { type Files, REAL_FILES, useFiles } from './files.ts'
import { REAL_SELF, type Self, useSelf } from './self.ts'

/**
 * All that the program knows of the world, and all that it can do to it. The program is in one such world at a time, as
 * FoundationDB's programs are in one `g_network`. The simulation enters the world of a process before it lets that
 * process go on (test/simulation).
 */
export interface World {
  readonly files: Files
  readonly time: Time
  readonly start: Start
  readonly self: Self
}

/** The world of a program that nobody has put into another one. */
export const REAL_WORLD: World = { files: REAL_FILES, time: REAL_TIME, start: REAL_START, self: REAL_SELF }

/** From now on the program is in this world. */
export function enter({ files, time, start, self }: World): void {
  useFiles(files)
  useTime(time)
  useStart(start)
  useSelf(self)
}
