import { runWatch } from './agent/lease-thread.ts'

// What the chunk `watch` does in its thread.
runWatch()
