import { describe, expect, test } from 'vitest'
import { Pulse } from '../../../src/agent/pulse.ts'

/** Beats every five seconds, of which systemd wants one in thirty. @returns the seconds at which systemd was told */
function toldUntil(
  end: number,
  { isDead = (_: number) => false, isBusy = (_: number) => false, inKernel = (_: number) => false, listens = true },
): number[] {
  let time = 0
  const told: number[] = []
  const pulse = new Pulse({
    now: () => time,
    isBusy: () => isBusy(time),
    isFirstThreadInKernel: () => inKernel(time),
    watchdog: listens ? 30 : undefined,
    tell: () => void told.push(time),
  })
  for (; time <= end; time += 5) {
    if (!isDead(time)) pulse.alive()
    pulse.beat()
  }
  return told
}

describe('the signs of life for systemd, whose limit is 90 s', () => {
  test('three within it, as long as the first thread lives', () =>
    expect(toldUntil(120, {})).toEqual([0, 30, 60, 90, 120]))
  test('none when it has given none: systemd ends the agent', () =>
    expect(toldUntil(300, { isDead: (time) => time >= 61 })).toEqual([0, 30, 60, 90]))
  test('while it waits for a disk: a new agent would wait too', () =>
    expect(toldUntil(180, { isDead: (time) => time >= 61, inKernel: () => true })).toEqual([
      0, 30, 60, 90, 120, 150, 180,
    ]))
  test('while a lease is late, or a kill is at work: it is not ended half-way', () =>
    expect(toldUntil(300, { isDead: (time) => time >= 61, isBusy: (time) => time < 200 })).toEqual([
      0, 30, 60, 90, 120, 150, 180,
    ]))
  test('again, when it lives again', () =>
    expect(toldUntil(260, { isDead: (time) => time >= 61 && time < 200 })).toEqual([0, 30, 60, 90, 200, 230, 260]))
  test('nothing where systemd does not listen', () => expect(toldUntil(120, { listens: false })).toEqual([]))
})
