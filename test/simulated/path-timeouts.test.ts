import { mkdirSync, symlinkSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Agent, until } from './agent.ts'
import { Libvirt } from './libvirt.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()

test('the agent says once, at its start, what below a VG lets I/O wait for too long', async () => {
  const [a] = ring().hosts
  const place = a.root.at('/sys/devices/platform/host3/session7/target3:0:0/3:0:0:1/block/vdb')
  mkdirSync(place, { recursive: true })
  symlinkSync(place, a.root.at('/sys/block/vdb'))
  await a.write('/sys/class/iscsi_session/session7/recovery_tmo', '120\n')
  new Libvirt(a).startDaemon()
  const agent = await Agent.start(ring(), a)
  const said = (): readonly string[] =>
    agent.said(
      /^<4>if the storage of virtVG goes, its I\/O may wait for longer than 60 s .*: vdb: iSCSI replacement_timeout, 120 s/,
    )
  await until(() => said().length > 0)
  await agent.passTwice()
  expect(said()).toHaveLength(1)
})
