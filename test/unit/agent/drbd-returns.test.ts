import { describe, expect, test } from 'vitest'
import { DrbdReturns } from '../../../src/agent/drbd-returns.ts'
import type { Confirmation } from '../../../src/core/drbd.ts'
import { type SeenPeer, parseSeen } from '../../../src/drbd/events.ts'
import { eventsWith } from '../../support/drbd.ts'

const confirmation: Confirmation = {
  format: 1,
  resource: 'r0',
  peer: '0',
  host: 'node2',
  at: '2026-11-27T22:31:09.123Z',
}

/**
 * Follows DRBD through these windows; after the last one nobody can say. @returns what is confirmed then, and what was
 * said
 */
async function follow(
  windows: readonly (readonly SeenPeer[] | ((host: { confirmed: Confirmation[] }) => readonly SeenPeer[]))[],
) {
  const host = { confirmed: [confirmation], said: [] as string[], asked: 0 }
  const left = [...windows]
  await new DrbdReturns({
    confirmations: () => [...host.confirmed],
    seen: () => {
      host.asked++
      const next = left.shift()
      return Promise.resolve(typeof next === 'function' ? next(host) : next)
    },
    drop: (over) => {
      host.confirmed = host.confirmed.filter(
        (each) => !over.some(({ resource, peer }) => each.resource === resource && each.peer === peer),
      )
    },
    tell: ({ text }) => void host.said.push(text),
  }).follow()
  return host
}

describe('a confirmation whose peer is seen for a moment', () => {
  test('is over, and that is said; then nothing is asked any more', async () => {
    expect(await follow([[], [], [{ resource: 'r0', peer: '0' }], []])).toEqual({
      confirmed: [],
      asked: 3,
      said: ["DRBD resource r0 sees node2 again: what was said with 'lvguard confirm-off node2' counts no longer"],
    })
  })

  test.each<[string, readonly SeenPeer[]]>([
    ['nobody is seen', []],
    [
      'another peer is seen',
      [
        { resource: 'r0', peer: '1' },
        { resource: 'r1', peer: '0' },
      ],
    ],
  ])('stays while %s', async (_, seen) => {
    expect(await follow([seen, seen])).toEqual({ confirmed: [confirmation], asked: 3, said: [] })
  })

  test('said anew after that it counts', async () => {
    const anew = { ...confirmation, at: '2026-11-27T22:32:00.000Z' }
    expect(
      await follow([
        (host) => {
          host.confirmed = [anew]
          return [{ resource: 'r0', peer: '0' }]
        },
      ]),
    ).toMatchObject({ confirmed: [anew], said: [] })
  })
})

test('drbdsetup events2: who was seen, however shortly', () => {
  const gone = eventsWith()
  expect(parseSeen(gone)).toEqual([])
  expect(
    parseSeen(
      `${gone}change connection name:r0 peer-node-id:0 conn-name:peer connection:Connected role:Secondary\nchange connection name:r0 peer-node-id:0 conn-name:peer connection:NetworkFailure role:Unknown\n`,
    ),
  ).toEqual([{ resource: 'r0', peer: '0' }])
  expect(parseSeen('change connection name:r0 peer-node-id:0 conn-name:peer connection:StandAlone\n')).toEqual([
    { resource: 'r0', peer: '0' },
  ])
  expect(
    parseSeen(
      'change peer-device name:r0 peer-node-id:0 connection:Connected\nchange connection name:r0 role:Primary\nexists -\n\n',
    ),
  ).toEqual([])
})
