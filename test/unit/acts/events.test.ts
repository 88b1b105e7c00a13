import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { HostDouble, ROOT_VOLUME, xmlOf } from '../support/host-double.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
let host = new HostDouble()
vi.mock('../../../src/lvm/lvm.ts', async () => (await import('../support/host-double.ts')).lvmOf(() => host))
vi.mock('../../../src/sanlock/ask.ts', async () => (await import('../support/host-double.ts')).vouchOf(() => host))
vi.mock('../../../src/lvm/devices.ts', async () => (await import('../support/host-double.ts')).devicesOf(() => host))
vi.mock('../../../src/state/vg-lock.ts', async () => (await import('../support/host-double.ts')).vgLockOf(() => host))
const { handle } = await import('../../../src/acts/events.ts')
const { logEntryOf } = await import('../../../src/hook/log-entry.ts')
const { exitStatusOf, linesOf } = await import('../../../src/core/outcome.ts')

beforeEach(() => {
  host = new HostDouble()
  root.clear()
})
afterAll(() => root.remove())

const event = (operation: string) => ({
  name: 'tintin',
  operation,
  subOperation: operation === 'release' ? 'end' : 'begin',
  extra: '-',
})
const XML = xmlOf([ROOT_VOLUME])
const STARTED = xmlOf([ROOT_VOLUME], true)
const WRONG = 'colour = "blue"\n'

interface Case {
  readonly operation: string
  readonly xml?: string
  readonly configuration?: string
}
async function exitStatus({ operation, xml = XML, configuration }: Case): Promise<number> {
  if (configuration !== undefined) root.write('etc/libvirt/lvguard.conf', configuration)
  return exitStatusOf((await handle(event(operation), () => xml)).outcome)
}

describe('what libvirt gets for an event', () => {
  test.each<[string, Case, 0 | 1]>([
    ['a start', { operation: 'prepare' }, 0],
    ['a start with XML that is cut off', { operation: 'prepare', xml: XML.slice(0, 100) }, 1],
    ['a start with a wrong configuration', { operation: 'prepare', configuration: WRONG }, 1],
    ['a migration with a wrong configuration', { operation: 'migrate', configuration: WRONG }, 1],
    ['an end with a wrong configuration', { operation: 'release', configuration: WRONG }, 0],
    ['an operation that nobody knows', { operation: 'newop' }, 0],
    [
      'an operation that nobody knows, with everything wrong',
      { operation: 'newop', xml: '<', configuration: WRONG },
      0,
    ],
    ['an operation like a method', { operation: 'toString' }, 0],
  ])('%s', async (_, given, expected) => expect(await exitStatus(given)).toBe(expected))

  test('an operation that nobody knows does not even read its XML', async () => {
    const handling = await handle(event('newop'), () => {
      throw new Error('was read')
    })
    expect(handling.outcome.kind).toBe('nothing')
  })

  test('an end with XML that is cut off does not speak of a start', async () => {
    const { outcome } = await handle(event('release'), () => XML.slice(0, 100))
    expect(linesOf(outcome, 'tintin').join()).not.toMatch(/was not started/)
  })

  test('an end with a wrong configuration gives back what is on record', async () => {
    await exitStatus({ operation: 'prepare' })
    expect(host.locks.size).toBe(1)
    expect(await exitStatus({ operation: 'release', xml: STARTED, configuration: WRONG })).toBe(0)
    expect(host.locks.size).toBe(0)
  })

  test('an end with a wrong configuration touches no VG that may be none of ours (R4)', async () => {
    // Without a record the XML tells the volumes, and only the configuration tells which of them are managed.
    await host.bringTo('exclusive', [ROOT_VOLUME])
    await exitStatus({ operation: 'release', xml: STARTED, configuration: `volume_groups = [ "otherVG" ]\n${WRONG}` })
    expect(host.active.size).toBe(1)
  })
})

describe('what the log keeps', () => {
  const entry = async (given: Case) => {
    if (given.configuration !== undefined) root.write('etc/libvirt/lvguard.conf', given.configuration)
    const handling = await handle(event(given.operation), () => given.xml ?? XML)
    return logEntryOf(event(given.operation), handling, linesOf(handling.outcome, 'tintin'))
  }
  test.each<[string, Case, Readonly<Record<string, unknown>>]>([
    [
      'a start',
      { operation: 'prepare' },
      { level: 'info', outcome: 'locked', volumes: ['virtVG/root'], operation: 'prepare', domain: 'tintin' },
    ],
    ['a refusal', { operation: 'prepare', configuration: WRONG }, { level: 'warn', outcome: 'refused' }],
    [
      'an operation that nobody knows',
      { operation: 'newop' },
      { level: 'warn', outcome: 'nothing', message: 'unknown operation newop begin' },
    ],
    ['an end with a wrong configuration', { operation: 'release', configuration: WRONG }, { level: 'warn' }],
  ])('%s', async (_, given, expected) => expect(await entry(given)).toMatchObject(expected))
})
