/** What of the agent's unit the program itself counts on. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const unit = readFileSync(new URL('../../../install/lvguard.service', import.meta.url), 'utf8')

/**
 * systemd.exec(5): each of these makes /dev/kmsg inaccessible; the agent writes there what journald does not take, and
 * why it resets the host.
 */
test('the agent may write into the kernel’s log', () =>
  expect(unit).not.toMatch(/^(?:ProtectKernelLogs|PrivateDevices)=(?:yes|true|on|1)/m))
