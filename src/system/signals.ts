/** Signals that end a program by default, and that a terminal or a system that shuts down sends. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/**
 * From here on none of these ends this program.
 * @param onSignal called at each. `alone`: SIGTERM and SIGHUP, which are for this program alone; a Ctrl-C reaches its
 *   children by itself
 * @param isHangupIgnored nothing is called at SIGHUP
 */
export function outlastSignals(onSignal: (alone: boolean) => void, isHangupIgnored = false): void {
  for (const signal of SIGNALS)
    process.on(signal, () => {
      if (signal !== 'SIGHUP' || !isHangupIgnored) onSignal(signal === 'SIGTERM' || signal === 'SIGHUP')
    })
}
