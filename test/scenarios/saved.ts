import assert from 'node:assert/strict'
import type { Host, Ring, Scenario } from '../ring.ts'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from './vm.ts'

const NOTES = '/var/lib/lvguard/saved'
const SAVE_FILE = '/var/lib/libvirt/qemu/save/tintin.save'
const CONFIGURATION = '/etc/libvirt/lvguard.conf'
const ADVICE = /virsh managedsave-remove tintin; virsh start tintin/

/** The VM of these stories, on its volume. */
async function tintinOn(ring: Ring): Promise<Vm> {
  await ring.volume('tintin')
  return vmOn(ring.volumeGroup, 'tintin')
}

/** It runs, and its memory is saved. */
async function saved(vm: Vm, host: Host): Promise<void> {
  assertPassed(await vm.prepare(host))
  assertPassed(await vm.release(host, 'saved'))
}

/** libvirt goes on with the XML of the image (R6). */
async function assertRestored(vm: Vm, host: Host): Promise<void> {
  const { stdout, ...result } = await vm.restore(host)
  assertPassed({ stdout, ...result })
  assert.equal(stdout, '')
}

/** The same, and it runs again. */
async function assertRunsAgain(vm: Vm, host: Host): Promise<void> {
  await assertRestored(vm, host)
  assertPassed(await vm.prepare(host))
}

async function runsAndStops(vm: Vm, host: Host): Promise<void> {
  assertPassed(await vm.prepare(host))
  assertPassed(await vm.release(host, 'shutdown'))
}

/** Memory that is older than its disk does not run (R12). */
export const savedMemory: readonly Scenario[] = [
  {
    name: 'a saved memory is restored where nobody has locked its volumes since',
    play: async (ring) => {
      const [a] = ring.hosts
      const tintin = await tintinOn(ring)
      await saved(tintin, a)
      assert.deepEqual(await a.list(NOTES), [`${tintin.uuid}.json`])
      await assertRunsAgain(tintin, a)
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      // Once more, from its new state.
      assertPassed(await tintin.release(a, 'saved'))
      await assertRunsAgain(tintin, a)
      assertPassed(await tintin.release(a, 'destroyed'))
    },
  },
  {
    name: 'a saved memory is refused once another host has run the VM, by name; a fresh start is not',
    play: async (ring) => {
      const [a, b] = ring.hosts
      const tintin = await tintinOn(ring)
      await saved(tintin, a)
      await runsAndStops(tintin, b)
      const refused = await tintin.restore(a)
      assertRefused(
        refused,
        new RegExp(`tintin was not started: ${b.name} has locked virtVG/tintin since its memory was saved here`),
        ADVICE,
      )
      assert.equal(refused.stdout, '')
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      await runsAndStops(tintin, a)
    },
  },
  {
    name: 'a managed save that is older than its disk is refused by its prepare, and stays: libvirt 11.3 removes what a restore hook refuses',
    not: { cluster: "the file there is its libvirt's own" },
    play: async (ring) => {
      const [a, b] = ring.hosts
      const tintin = await tintinOn(ring)
      assertPassed(await tintin.prepare(a))
      await a.write(SAVE_FILE, '')
      assertPassed(await tintin.release(a, 'saved'))
      await runsAndStops(tintin, b)
      const words = new RegExp(`${b.name} has locked virtVG/tintin since its memory was saved here`)
      // The second time it is the same: nothing is used up by a refusal.
      for (const reason of ['failed', '-']) {
        await assertRestored(tintin, a)
        assertRefused(await tintin.prepare(a), words, ADVICE)
        assertPassed(
          await a.hook({ name: tintin.name, operation: 'release', extra: reason, xml: tintin.xml({ aliases: false }) }),
        )
        await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      }
      // Without the image a fresh start is not taken for that restore.
      await assertRestored(tintin, a)
      await a.write(SAVE_FILE, undefined)
      await runsAndStops(tintin, a)
    },
  },
  {
    name: 'a saved memory of a VM that runs on another host now is refused, and the refusal names that host',
    play: async (ring) => {
      const [a, b] = ring.hosts
      const tintin = await tintinOn(ring)
      await saved(tintin, a)
      assertPassed(await tintin.prepare(b))
      const now = new RegExp(`${b.name} holds it now(, last alive \\d+ s ago)?, where tintin seems to run\\.`)
      assertRefused(
        await tintin.restore(a),
        now,
        new RegExp(`qemu\\+ssh://${b.name}/system shutdown tintin; .*virsh managedsave-remove tintin`),
      )
      await assertLocks(ring.hosts, 'tintin', ['none', 'ex'])
      // Also where it was this host that has run it since.
      assertPassed(await tintin.release(b, 'shutdown'))
      await runsAndStops(tintin, a)
      assertPassed(await tintin.prepare(b))
      assertRefused(await tintin.restore(a), /this host has locked virtVG\/tintin since/, /managedsave-remove/)
      assert.match((await tintin.restore(a)).stderr, now)
    },
  },
  {
    name: 'a saved memory is refused once the VM has been started anew on the same host, and once it has been restored',
    play: async (ring) => {
      const [a] = ring.hosts
      const tintin = await tintinOn(ring)
      await saved(tintin, a)
      await runsAndStops(tintin, a)
      assertRefused(await tintin.restore(a), /this host has locked virtVG\/tintin since/, ADVICE)
      await saved(tintin, a)
      await assertRestored(tintin, a)
      await runsAndStops(tintin, a)
      assertRefused(await tintin.restore(a), /this host has locked virtVG\/tintin since/, ADVICE)
    },
  },
  {
    name: 'a volume that this host has activated since, as LVM does at boot, is no reason to refuse; a start on it is one',
    not: { locks: 'nothing is active there' },
    play: async (ring) => {
      const [a] = ring.hosts
      const tintin = await tintinOn(ring)
      await saved(tintin, a)
      await a.run('lvchange', '-aey', 'virtVG/tintin')
      await assertRunsAgain(tintin, a)
      assertPassed(await tintin.release(a, 'failed'))
      await assertRunsAgain(tintin, a)
      assertPassed(await tintin.release(a, 'shutdown'))
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertRefused(await tintin.restore(a), /this host has locked virtVG\/tintin since/, ADVICE)
      await a.run('lvchange', '-an', 'virtVG/tintin')
    },
  },
  {
    name: 'a restore that comes to nothing, before or after its prepare, leaves the memory as good as it was',
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('tintin')
      await ring.volume('data')
      const tintin = new Vm(
        'tintin',
        ['tintin', 'data'].map((name) => ({ path: `/dev/virtVG/${name}` })),
      )
      await saved(tintin, a)
      const reader = new Vm('milou', [{ path: '/dev/virtVG/data', inside: '<readonly/>' }])
      await assertRunsAgain(tintin, a)
      assertPassed(await tintin.release(a, 'failed'))
      await assertRestored(tintin, a)
      // Another VM has one of them, and has locked it: that one is named.
      assertPassed(await reader.prepare(b))
      assertRefused(await tintin.prepare(a), /virtVG\/data is held shared by/)
      assertPassed(await tintin.releaseRefused(a))
      assertPassed(await reader.release(b))
      assertRefused(await tintin.restore(a), /has locked virtVG\/data since/, ADVICE)
    },
  },
  {
    name: 'a volume that is locked elsewhere between restore and prepare: the prepare refuses',
    play: async (ring) => {
      const [a, b] = ring.hosts
      const tintin = await tintinOn(ring)
      await saved(tintin, a)
      await assertRestored(tintin, a)
      await runsAndStops(tintin, b)
      assertRefused(
        await tintin.prepare(a),
        /another host has locked virtVG\/tintin since its memory was saved here/,
        ADVICE,
      )
      assertPassed(await tintin.releaseRefused(a))
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      // The mark of that restore is used up.
      await runsAndStops(tintin, a)
    },
  },
  {
    name: 'a restore that ends before its prepare is not taken for the migration that comes next, nor for a start after that',
    play: async (ring) => {
      const [a, b] = ring.hosts
      const tintin = await tintinOn(ring)
      await saved(tintin, a)
      await assertRestored(tintin, a)
      // libvirt has failed on its way to `prepare`; now it runs on the other host, and comes here.
      assertPassed(await tintin.prepare(b))
      assert.equal((await b.run('lvchange', '-asy', 'virtVG/tintin')).code, 0)
      const letIn = await tintin.migrate(a)
      assertPassed(letIn)
      assertPassed(await tintin.prepare(a, letIn.stdout))
      await assertLocks(ring.hosts, 'tintin', ['sh', 'sh'])
      assertPassed(await tintin.release(b, 'migrated'))
      assertPassed(await tintin.release(a, 'shutdown'))
      await runsAndStops(tintin, a)
      assertRefused(
        await tintin.restore(a),
        /this host has locked virtVG\/tintin since its memory was saved here/,
        ADVICE,
      )
    },
  },
  {
    name: 'libvirt before 10.5: a note of a managed save says nothing of a memory that is saved to a file later',
    not: { cluster: "the file there is its libvirt's own" },
    play: async (ring) => {
      const [a] = ring.hosts
      const tintin = await tintinOn(ring)
      assertPassed(await tintin.prepare(a))
      await a.write(SAVE_FILE, '')
      assertPassed(await tintin.release(a))
      assert.deepEqual(await a.list(NOTES), [`${tintin.uuid}.json`])
      await assertRunsAgain(tintin, a)
      await a.write(SAVE_FILE, undefined)
      // `virsh save FILE`, which libvirt tells nobody.
      assertPassed(await tintin.release(a))
      await assertRunsAgain(tintin, a)
      assertPassed(await tintin.release(a))
    },
  },
  {
    name: 'a save whose release keeps everything is noted all the same',
    play: async (ring) => {
      const [a] = ring.hosts
      const tintin = await tintinOn(ring)
      await saved(tintin, a)
      await assertRunsAgain(tintin, a)
      const unreadable = `/run/lvguard/${new Vm('milou', []).uuid}.json`
      await a.write(unreadable, 'not a record')
      const kept = await tintin.release(a, 'saved')
      await a.write(unreadable, undefined)
      assert.match(kept.stderr, /cannot be read/)
      await assertRestored(tintin, a)
      assertPassed(await tintin.release(a, 'saved'))
    },
  },
  {
    name: 'a save whose release comes when another host has run the VM already is known to be old',
    play: async (ring) => {
      const [a, b] = ring.hosts
      const tintin = await tintinOn(ring)
      assertPassed(await tintin.prepare(a))
      // The agent was quicker.
      await a.run('lvchange', '-an', 'virtVG/tintin')
      await a.write(`/run/lvguard/${tintin.uuid}.json`, undefined)
      await runsAndStops(tintin, b)
      await tintin.release(a, 'saved')
      assertRefused(await tintin.restore(a), new RegExp(`${b.name} has locked virtVG/tintin since`), ADVICE)
    },
  },
  {
    name: 'a saved memory of which nothing is known, or cannot be told, is restored, and said; and so is one that a person insists on',
    play: async (ring) => {
      const [a, b] = ring.hosts
      const tintin = await tintinOn(ring)
      await assertRestored(tintin, a)
      await saved(tintin, a)
      await runsAndStops(tintin, b)
      await a.write(CONFIGURATION, 'on_stale_image = "alert"\n')
      const insisted = await tintin.restore(a)
      await a.write(CONFIGURATION, undefined)
      assert.equal(insisted.code, 0)
      assert.match(
        insisted.stderr,
        /virtVG\/tintin has been locked since the memory of tintin was saved, and on_stale_image lets it be restored/,
      )
      await a.write(`${NOTES}/${tintin.uuid}.json`, '{}')
      const unknown = await tintin.restore(a)
      assert.equal(unknown.code, 0)
      assert.match(unknown.stderr, /whether the saved memory of tintin is as new as its disks cannot be told/)
      assertPassed(await tintin.prepare(a))
      assertPassed(await tintin.release(a, 'shutdown'))
    },
  },
]
