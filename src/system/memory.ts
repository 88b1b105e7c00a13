import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Bytes by which the heap may grow before it is collected. */
const HEAP_GROWTH = 2 * 1024 * 1024

/**
 * Collects the heap when it has grown. Passes keep little in memory, but V8 by itself would not give back for hours
 * what they have used. The price: a pass over 500 VMs takes 43 to 50 ms of CPU instead of 32 (Node 20, npm run bench).
 * @returns to be called after each pass
 */
export function memoryKeeper(): () => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  let kept = 0
  return () => {
    if (typeof collect !== 'function' || process.memoryUsage().heapUsed < kept + HEAP_GROWTH) return
    collect()
    kept = process.memoryUsage().heapUsed
  }
}
