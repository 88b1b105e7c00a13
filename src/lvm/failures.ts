/** What an lvm command's stderr says went wrong. LVM has one exit code, 5, for all of it (FACTS 22). */
export type Failure =
  | { readonly kind: 'held'; readonly volume: string }
  | { readonly kind: 'in-use'; readonly volume: string }
  | { readonly kind: 'not-shareable'; readonly volume: string; readonly type: string }
  | { readonly kind: 'lvmlockd-down' }
  | { readonly kind: 'lvmlockd-off'; readonly vg: string }
  | { readonly kind: 'starting'; readonly vg: string }
  | { readonly kind: 'not-started'; readonly vg: string }
  | { readonly kind: 'vg-lock'; readonly vg: string; readonly text: string }
  | { readonly kind: 'missing-volume'; readonly volume: string }
  | { readonly kind: 'missing-vg'; readonly vg: string }
  /** It has another host's system ID (lvmsystemid(7)), or is exported. */
  | { readonly kind: 'vg-refused'; readonly vg: string; readonly text: string }
  | { readonly kind: 'lock-left'; readonly volume: string }
  | { readonly kind: 'other'; readonly text: string }

type Row = readonly [pattern: RegExp, failure: (a: string, b: string) => Failure | undefined]

// One row for each message, in the words of test/captures/debian-1[23]/lvm.txt. `undefined`: another line of the same
// answer says the same, or more. ` (host_id N)` follows from lvm2 2.03.33 on (FACTS 22).
const MESSAGES: readonly Row[] = [
  [/^LV locked by other host: (\S+)/, (volume) => ({ kind: 'held', volume })],
  [/^Logical volume (\S+) in use\.?$/, (volume) => ({ kind: 'in-use', volume })],
  [/^Logical volume (\S+) contains a filesystem in use\.?$/, (volume) => ({ kind: 'in-use', volume })],
  [
    /^Shared activation not compatible with LV type (\S+) of (\S+)$/,
    (type, volume) => ({ kind: 'not-shareable', volume, type }),
  ],
  [/^WARNING: lvmlockd process is not running\.$/, () => ({ kind: 'lvmlockd-down' })],
  // If lvmlockd was killed, its socket is still there (measured, lvm2 2.03.16).
  [/^WARNING: lvmlockd connect failed\.$/, () => ({ kind: 'lvmlockd-down' })],
  [/lvmlockd\.socket: connect failed: /, () => undefined],
  [/^Cannot access VG (\S+) with lock type \S+ that requires lvmlockd\.$/, (vg) => ({ kind: 'lvmlockd-off', vg })],
  // Both measured, lvm2 2.03.16. Each comes twice, and lvs says it too.
  [/^(?=Cannot access VG (\S+) with system ID )(.+)$/, (vg, text) => ({ kind: 'vg-refused', vg, text })],
  [/^(?=Volume group (\S+) is exported$)(.+)$/, (vg, text) => ({ kind: 'vg-refused', vg, text })],
  [/^VG (\S+) lock (?:skipped|failed): lock start in progress$/, (vg) => ({ kind: 'starting', vg })],
  [/^VG (\S+) lock (?:skipped|failed): (.+)$/, (vg, text) => ({ kind: 'vg-lock', vg, text })],
  [/^Cannot access VG (\S+) due to failed lock\.$/, (vg) => ({ kind: 'not-started', vg })],
  [/^Failed to find logical volume "(.+)"$/, (volume) => ({ kind: 'missing-volume', volume })],
  [/^Volume group "(.+)" not found$/, (vg) => ({ kind: 'missing-vg', vg })],
  [/^LV (\S+) lock failed: /, (volume) => ({ kind: 'lock-left', volume })],
  [/^Failed to (?:lock|unlock) logical volume /, () => undefined],
  [/^Cannot process volume group /, () => undefined],
  [/^Reading VG \S+ without a lock\.$/, () => undefined],
  [/^WARNING: Activation disabled\. No device-mapper interaction will be attempted\.$/, () => undefined],
]

// `Cannot access VG` follows each of these and says less.
const MORE_PRECISE_THAN_NOT_STARTED = new Set(['lvmlockd-down', 'starting', 'vg-lock'])

/**
 * What the stderr of an lvm command means, in the order of its lines. A line that is not in the table is kept as
 * `other`: the caller counts it as refused and shows it (R9).
 */
export function classify(stderr: string): Failure[] {
  const failures = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .flatMap(failureOfLine)
  const known = failures.some(({ kind }) => MORE_PRECISE_THAN_NOT_STARTED.has(kind))
  const once = failures.filter(
    (failure, index) =>
      failure.kind !== 'vg-refused' ||
      failures.findIndex((other) => other.kind === 'vg-refused' && other.vg === failure.vg) === index,
  )
  return known ? once.filter(({ kind }) => kind !== 'not-started') : once
}

function failureOfLine(line: string): Failure[] {
  for (const [pattern, failure] of MESSAGES) {
    const match = pattern.exec(line)
    if (match === null) continue
    const found = failure(match[1] ?? '', match[2] ?? '')
    return found === undefined ? [] : [found]
  }
  return [{ kind: 'other', text: line }]
}
