import { runWatch } from './lease-thread.ts'

// What the chunk `watch` does in its thread.
runWatch()
