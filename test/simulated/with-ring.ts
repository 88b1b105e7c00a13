import { afterAll, beforeAll, beforeEach } from 'vitest'
import { SimulatedRing } from './ring.ts'

/** A ring for the tests of a file: one for all, reset before each. */
export function withRing(): () => SimulatedRing {
  let ring: SimulatedRing
  beforeAll(async () => {
    ring = await SimulatedRing.create()
  })
  afterAll(async () => {
    await ring.close()
  })
  beforeEach(async () => {
    await ring.reset()
    for (const host of ring.hosts) {
      await host.write('/etc/libvirt/lvguard.conf', undefined)
      await host.write('/var/log/libvirt/lvguard.log', undefined)
    }
  })
  return () => ring
}
