import { describe, expect, test } from 'vitest'
import { ReportBook } from '../../../src/core/report-book.ts'
import { PASS_PERIOD, releasePause, retryPause } from '../../../src/core/retry.ts'

describe('what has been said', () => {
  const once = { key: 'a' }
  const often = { key: 'b', again: 600 }
  test('is said once, or after its time', () => {
    const book = new ReportBook()
    expect(book.update('vm', [once, often], 0)).toEqual([once, often])
    for (const now of [15, 30, 599]) expect(book.update('vm', [once, often], now)).toEqual([])
    expect(book.update('vm', [once, often], 600)).toEqual([often])
    expect(book.update('vm', [once, often], 615)).toEqual([])
    expect(book.update('vm', [once, often], 1200)).toEqual([often])
  })

  test('is said anew when it comes back', () => {
    const book = new ReportBook()
    book.update('vm', [once], 0)
    expect(book.update('vm', [], 15)).toEqual([])
    expect(book.update('vm', [once], 30)).toEqual([once])
  })

  test('of one domain is nothing of another', () => {
    const book = new ReportBook()
    book.update('vm', [once], 0)
    expect(book.update('other', [once], 1)).toEqual([once])
    expect(book.update('vm', [once], 2)).toEqual([])
  })
})

describe('pauses', () => {
  test('of a promotion: quick, then every five seconds', () =>
    expect([0, 1, 2, 3, 4, 5, 6, 7, 100].map(retryPause)).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]))
  test('of a release: a pass, then up to five minutes', () =>
    expect([0, 1, 2, 3, 4, 5, 100].map(releasePause)).toEqual([
      PASS_PERIOD,
      30_000,
      60_000,
      120_000,
      240_000,
      300_000,
      300_000,
    ]))
})
