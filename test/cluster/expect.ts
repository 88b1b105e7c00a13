import assert from 'node:assert/strict'
import type { Result } from '../ring.ts'

/** The command of a person succeeded. */
export async function succeeds(command: Promise<Result>): Promise<Result> {
  const result = await command
  assert.equal(result.code, 0, result.stderr + result.stdout)
  return result
}

/** It was refused, and the message says so in these words. */
export async function isRefused(command: Promise<Result>, ...words: readonly RegExp[]): Promise<Result> {
  const result = await command
  assert.notEqual(result.code, 0, `it was not refused: ${result.stdout}`)
  for (const word of words) assert.match(result.stderr, word)
  return result
}
