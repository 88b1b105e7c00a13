/** Milliseconds between two full passes. */
export const PASS_PERIOD = 15_000

/** Milliseconds. A promotion that is refused for longer is not just the end of a migration: then it is said. */
export const PATIENCE = 10_000

/**
 * Milliseconds before the next try of what was refused: short at first, because a source lets go within a second, then
 * 5 s.
 */
export const retryPause = (attempts: number): number => Math.min(100 * 2 ** Math.min(attempts, 10), 5000)

/**
 * Milliseconds for which the agent leaves the volumes of an ended domain to its own `release`, which takes 0.1 s where
 * nobody is before it. After that the agent gives back all such volumes in one lvchange.
 */
export const RELEASE_PATIENCE = 500

/**
 * Milliseconds before the agent tries again to give back the volumes of a domain that is gone: up to five minutes.
 */
export const releasePause = (attempts: number): number => Math.min(PASS_PERIOD * 2 ** Math.min(attempts, 10), 300_000)
