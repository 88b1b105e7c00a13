import { expect, test } from 'vitest'
import { StatusLine } from '../../../src/agent/status-line.ts'
import { isHeard } from '../../../src/agent/systemd.ts'

test('it is told once for many changes in one moment, and again only when it is another line', () => {
  const told: string[] = []
  const timers: (() => void)[] = []
  let text = '0 VMs'
  const line = new StatusLine({
    read: () => text,
    tell: (said) => told.push(said),
    after: (_, work) => void timers.push(work),
  })
  const goOn = (): void => {
    for (const work of timers.splice(0)) work()
  }
  line.changed()
  line.changed()
  text = '1 VM'
  expect(timers).toHaveLength(1)
  goOn()
  line.changed()
  goOn()
  text = '2 VMs'
  line.changed()
  goOn()
  expect(told).toEqual(['1 VM', '2 VMs'])
})

test('nothing is told outside a service', () =>
  expect([isHeard({}), isHeard({ NOTIFY_SOCKET: '/run/systemd/notify' })]).toEqual([false, true]))
