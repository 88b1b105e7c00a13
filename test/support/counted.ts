/**
 * What `npm run coverage` puts into the environment of each program that the tests start: V8 counts there, and writes
 * it into that folder. Without a code cache: V8 tells nothing of what it has from there and did not use.
 */
export const COUNTED: Readonly<Record<string, string>> =
  process.env['LVGUARD_COVERAGE'] === undefined
    ? {}
    : { NODE_V8_COVERAGE: process.env['LVGUARD_COVERAGE'], LVGUARD_NO_CACHE: '1' }
