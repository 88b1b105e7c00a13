import assert from 'node:assert/strict'
import { INCOMING_LIFETIME } from '../../src/core/record.ts'
import type { Host, Result, Scenario } from '../ring.ts'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from './vm.ts'

const CONFIGURATION = '/etc/libvirt/lvguard.conf'

/** The destination waits a second for the source to share, and no longer. */
async function migrateImpatiently(vm: Vm, to: Host): Promise<Result> {
  await to.write(CONFIGURATION, 'migrate_wait = 1\n')
  try {
    return await vm.migrate(to)
  } finally {
    await to.write(CONFIGURATION, undefined)
  }
}

/** Live migrations, with the source demoted and the destination promoted by hand: the hook's part alone. */
export const migrations: readonly Scenario[] = [
  {
    name: 'a migration: demoted by hand, let in on trial, prepared shared, promoted by hand',
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await tintin.prepare(a))
      assert.equal((await a.run('lvchange', '-asy', 'virtVG/tintin')).code, 0)
      const letIn = await tintin.migrate(b)
      assertPassed(letIn)
      await assertLocks(ring.hosts, 'tintin', ['sh', 'none'])
      assert.match(letIn.stdout, /<lvguard:incoming xmlns:lvguard="urn:lvguard:incoming:1" id="[0-9a-f-]{36}"\/>/)
      assert.equal(letIn.stdout.replace(/<metadata>.*<\/metadata>/, ''), tintin.xml())
      assertPassed(await tintin.prepare(b, letIn.stdout))
      await assertLocks(ring.hosts, 'tintin', ['sh', 'sh'])
      assertPassed(await tintin.release(a))
      await assertLocks(ring.hosts, 'tintin', ['none', 'sh'])
      assert.equal((await b.run('lvchange', '-aey', 'virtVG/tintin')).code, 0)
      assertPassed(await tintin.release(b))
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
    },
  },
  {
    name: 'a migration whose source does not demote is refused after its wait, by name',
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await tintin.prepare(a))
      const refused = await migrateImpatiently(tintin, b)
      assertRefused(
        refused,
        new RegExp(`tintin was not let in: virtVG/tintin is held exclusively by ${a.name}`),
        new RegExp(`on ${a.name}: systemctl restart lvguard`),
      )
      assert.equal(refused.stdout, '')
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assert.deepEqual(
        (await b.list('/run/lvguard')).filter((name) => name.endsWith('.json')),
        [],
      )
      assertPassed(await tintin.release(a))
    },
  },
  {
    name: 'a migration whose source holds for itself what the VM only reads is refused, and it is said how to share it',
    not: { locks: 'nothing is active there' },
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('iso')
      const tintin = new Vm('tintin', [{ path: `/dev/${ring.volumeGroup}/iso`, inside: '<readonly/>' }])
      const ofSource = (mode: string): Promise<{ code: number }> => a.run('lvchange', mode, `${ring.volumeGroup}/iso`)
      assert.equal((await ofSource('-aey')).code, 0)
      assertPassed(await tintin.prepare(a))
      assertRefused(
        await migrateImpatiently(tintin, b),
        new RegExp(`tintin was not let in: virtVG/iso is held exclusively by ${a.name}`),
        new RegExp(`tintin only reads it.*: ssh ${a.name} lvchange --activate sy virtVG/iso`),
      )
      assert.equal((await ofSource('-asy')).code, 0)
      const letIn = await tintin.migrate(b)
      assertPassed(letIn)
      assertPassed(await tintin.prepare(b, letIn.stdout))
      await assertLocks(ring.hosts, 'iso', ['sh', 'sh'])
      assertPassed(await tintin.release(a))
      assertPassed(await tintin.release(b))
      await assertLocks(ring.hosts, 'iso', ['sh', 'none'])
      assert.equal((await ofSource('-an')).code, 0)
    },
  },
  {
    name: 'a migration to a host without an agent is refused before anything is locked',
    play: async (ring) => {
      const [, b] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      const refusedHere = async (): Promise<void> =>
        assertRefused(
          await b.hook({ name: 'tintin', operation: 'migrate', xml: tintin.xml() }),
          /tintin was not let in: no lvguard agent runs on this host/,
          /Here: systemctl start lvguard/,
        )
      await b.write('/run/lvguard/agent', undefined)
      await refusedHere()
      await b.write('/run/lvguard/agent', `${process.pid} 1\n`)
      await refusedHere()
      await b.write('/run/lvguard/agent', undefined)
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
    },
  },
  {
    name: 'the peer’s lock is dropped while migrate waits',
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await tintin.prepare(a))
      const migrating = tintin.migrate(b)
      assertPassed(await tintin.release(a))
      assertPassed(await migrating)
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
    },
  },
  {
    name: 'a fresh start is not taken for an incoming one: wrong id, no id, id used up, record too old, id in the definition',
    play: async (ring) => {
      const [a, b] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      const record = `/run/lvguard/${tintin.uuid}.json`
      assertPassed(await tintin.prepare(a))
      await a.run('lvchange', '-asy', 'virtVG/tintin')
      const letIn = async (): Promise<string> => {
        const result = await tintin.migrate(b)
        assertPassed(result)
        return result.stdout
      }
      const refusedAsFresh = async (xml: string): Promise<void> => {
        assertRefused(await tintin.prepare(b, xml), /virtVG\/tintin is held shared by/)
        assertPassed(await tintin.releaseRefused(b))
        await assertLocks(ring.hosts, 'tintin', ['sh', 'none'])
      }
      const xml = await letIn()
      await refusedAsFresh(tintin.xml())
      await refusedAsFresh(xml)
      await refusedAsFresh((await letIn()).replace(/id="[^"]{8}/, 'id="00000000'))
      const late = await letIn()
      const old = JSON.parse((await b.read(record)) ?? '') as { incoming: { at: number } }
      await b.write(
        record,
        JSON.stringify({ ...old, incoming: { ...old.incoming, at: old.incoming.at - INCOMING_LIFETIME - 1 } }),
      )
      await refusedAsFresh(late)
      const defined = await letIn()
      await b.write('/etc/libvirt/qemu/tintin.xml', defined)
      await refusedAsFresh(defined)
      await b.write('/etc/libvirt/qemu/tintin.xml', undefined)
      const good = await letIn()
      assertPassed(await tintin.prepare(b, good))
      assertPassed(await tintin.release(b))
      await refusedAsFresh(good)
      assertPassed(await tintin.release(a))
    },
  },
  {
    name: 'a domain is not let in where it runs, or where its volume is another VM’s',
    play: async (ring) => {
      const [a] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await tintin.prepare(a))
      assertRefused(await tintin.migrate(a), /it runs or starts on this host already/)
      const twin = new Vm('milou', tintin.disks)
      assertRefused(await twin.migrate(a), /virtVG\/tintin is used by the VM tintin/)
      await assertLocks(ring.hosts, 'tintin', ['ex', 'none'])
      assertPassed(await tintin.release(a))
    },
  },
  {
    name: 'an offline migration leaves nothing locked',
    play: async (ring) => {
      const [, b] = ring.hosts
      await ring.volume('tintin')
      const tintin = vmOn(ring.volumeGroup, 'tintin')
      assertPassed(await tintin.migrate(b))
      await assertLocks(ring.hosts, 'tintin', ['none', 'none'])
      assertPassed(await tintin.prepare(b))
      await assertLocks(ring.hosts, 'tintin', ['none', 'ex'])
      assertPassed(await tintin.release(b))
    },
  },
]
