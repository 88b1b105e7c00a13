import assert from 'node:assert/strict'
import type { Host, Result, Scenario } from '../ring.ts'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from './vm.ts'

const LVM_CONF = '/etc/lvm/lvm.conf'

/** Settings of lvm.conf that change what LVM prints, each as it was seen to break something (FACTS 56). */
const SETTINGS: readonly (readonly string[])[] = [
  ['log/command_names=1', 'log/prefix="lvm says "', 'log/verbose=2', 'log/indent=1', 'log/silent=1'],
  ['log/report_command_log=1', 'report/output_format="json"'],
  [
    'report/compact_output=1',
    'report/compact_output_cols="pool_lv,lv_lockargs"',
    'report/list_item_separator=" "',
    'report/prefixes=1',
    'report/quoted=0',
    'report/headings=0',
    'report/separator="|"',
    'report/columns_as_rows=1',
    'report/aligned=0',
    'report/buffered=0',
    'report/binary_values_as_numeric=1',
    'report/mark_hidden_devices=0',
  ],
]

/** Works on a host whose lvm.conf has further settings, and puts that file back. */
async function withSettings(host: Host, settings: readonly string[], work: () => Promise<void>): Promise<void> {
  const before = await host.read(LVM_CONF)
  await host.write(LVM_CONF, `${before ?? ''}\n${settings.join('\n')}\n`)
  try {
    await work()
  } finally {
    await host.write(LVM_CONF, before)
  }
}

/** Each setting alone: what one of them breaks another one may hide. */
const EACH_ALONE: Scenario = {
  name: 'lvm.conf with each of these settings alone: a VM starts and stops, its holder is named, and no file grows',
  not: { cluster: 'many calls of the hook, each of seconds; there the settings are tried together' },
  play: async (ring) => {
    const [a, b] = ring.hosts
    for (const name of ['tintin', 'milou']) await ring.volume(name)
    const [tintin, milou] = [vmOn(ring.volumeGroup, 'tintin'), vmOn(ring.volumeGroup, 'milou')]
    assertPassed(await milou.prepare(b))
    for (const setting of SETTINGS.flat()) {
      const passes = ({ code, stderr }: Result): void =>
        assert.deepEqual({ setting, code, stderr }, { setting, code: 0, stderr: '' })
      await withSettings(a, [setting], async () => {
        passes(await tintin.prepare(a))
        const refused = await milou.prepare(a)
        assert.deepEqual([setting, refused.code], [setting, 1])
        assert.match(refused.stderr, new RegExp(`virtVG/milou is held exclusively by ${b.name}, last alive`), setting)
        passes(await milou.releaseRefused(a))
      })
      // The ring itself asks lvs.
      assert.equal(await a.lock('tintin'), 'ex', setting)
      await withSettings(a, [setting], async () => {
        // Of so many one may take longer than its 5 s.
        const released = await tintin.release(a)
        passes(released.stderr.includes('is not given back yet') ? await tintin.release(a) : released)
      })
      assert.equal(await a.lock('tintin'), 'none', setting)
      assert.equal(await a.read('/run/lvguard/virtVG.lock'), '', setting)
    }
    assertPassed(await milou.release(b))
  },
}

/** Whatever lvm.conf says of messages and reports (R15). */
export const lvmConf: readonly Scenario[] = SETTINGS.map(
  (settings): Scenario => ({
    name: `lvm.conf with ${settings.slice(0, 2).join(', ')}${settings.length > 2 ? ' and more' : ''}: a VM starts and stops, its holder is named, a missing volume is one, and no file grows`,
    play: async (ring) => {
      const [a, b] = ring.hosts
      for (const name of ['tintin', 'milou']) await ring.volume(name)
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await vmOn(ring.volumeGroup, 'milou').prepare(b))
      await withSettings(a, settings, async () => assertPassed(await tintin.prepare(a)))
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      await withSettings(a, settings, async () => {
        assertPassed(await tintin.release(a))
        assertRefused(
          await vmOn(ring.volumeGroup, 'milou').prepare(a),
          new RegExp(`virtVG/milou is held exclusively by ${b.name}, last alive`),
          new RegExp(b.name),
        )
        assertPassed(await vmOn(ring.volumeGroup, 'milou').releaseRefused(a))
        assertRefused(
          await new Vm('haddock', [{ path: '/dev/virtVG/nope' }]).prepare(a),
          /there is no logical volume virtVG\/nope \(disk vda\)/,
        )
        assertRefused(
          await new Vm('haddock', [{ path: '/dev/nopeVG/x' }]).prepare(a),
          /there is no volume group nopeVG/,
        )
      })
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      await assertLocks(ring.hosts, 'milou', ['none', 'ex'])
      assert.equal(await a.read('/run/lvguard/virtVG.lock'), '')
      assertPassed(await vmOn(ring.volumeGroup, 'milou').release(b))
    },
  }),
).concat(EACH_ALONE)
