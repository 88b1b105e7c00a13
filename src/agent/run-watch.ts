import { runWatch } from './lease-thread.ts'

// The chunk `watch`, in its thread.
runWatch()
