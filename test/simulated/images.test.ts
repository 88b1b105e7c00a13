import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Result } from '../ring.ts'
import { Vm, assertLocks, assertPassed, assertRefused, vmOn } from '../scenarios/vm.ts'
import { type Image, qcow2 } from '../support/qcow2.ts'
import { withRing } from './with-ring.ts'

const ring = withRing()
const QCOW2 = "<driver name='qemu' type='qcow2'/>"
const overlayVm = (name: string, volume = name): Vm => new Vm(name, [{ path: `/dev/virtVG/${volume}`, inside: QCOW2 }])

/** Volumes with what stands on them; without a header, only the volume. */
async function volumes(images: Readonly<Record<string, Image | undefined>>): Promise<void> {
  for (const [name, image] of Object.entries(images)) {
    await ring().volume(name)
    if (image !== undefined) ring().fill(`virtVG/${name}`, qcow2(image))
  }
}

describe('the backing files that a qcow2 image names', () => {
  test('one golden image under overlays on two hosts; one of them migrates', async () => {
    const { hosts } = ring()
    const [a, b] = hosts
    await volumes({
      golden: {},
      tintin: { backing: '/dev/virtVG/golden', format: 'qcow2' },
      milou: { backing: 'golden', format: 'qcow2' },
    })
    const [tintin, milou] = [overlayVm('tintin'), overlayVm('milou')]
    assertPassed(await tintin.prepare(a))
    assertPassed(await milou.prepare(b))
    await assertLocks(hosts, 'golden', ['sh', 'sh'])
    await assertLocks(hosts, 'tintin', ['ex', 'none'])
    await assertLocks(hosts, 'milou', ['none', 'ex'])
    await a.run('lvchange', '-asy', 'virtVG/tintin')
    const letIn = await tintin.migrate(b)
    assertPassed(letIn)
    assertPassed(await tintin.prepare(b, letIn.stdout))
    await assertLocks(hosts, 'tintin', ['sh', 'sh'])
    assertPassed(await tintin.release(a))
    await assertLocks(hosts, 'golden', ['none', 'sh'])
    await b.run('lvchange', '-aey', 'virtVG/tintin')
    assertPassed(await milou.release(b))
    await assertLocks(hosts, 'golden', ['none', 'sh'])
    assertPassed(await tintin.release(b))
    for (const name of ['golden', 'tintin', 'milou']) await assertLocks(hosts, name, ['none', 'none'])
  })

  test('a chain of five, one of them raw at its end, one lvchange a level', async () => {
    const { hosts, log } = ring()
    await volumes({
      raw: undefined,
      c: { backing: '/dev/virtVG/raw', format: 'raw' },
      b: { backing: '/dev/mapper/virtVG-c', format: 'qcow2' },
      a: { backing: '/dev/disk/by-id/dm-name-virtVG-b', format: 'qcow2' },
      top: { backing: 'a', format: 'qcow2' },
    })
    // Whatever a guest wrote into a raw image is not believed.
    ring().fill('virtVG/raw', qcow2({ backing: '/dev/virtVG/nope', format: 'qcow2' }))
    const vm = overlayVm('tintin', 'top')
    log.clear()
    assertPassed(await vm.prepare(hosts[0]))
    expect(log.commands(undefined, 'lvchange')).toHaveLength(5)
    for (const name of ['a', 'b', 'c', 'raw']) await assertLocks(hosts, name, ['sh', 'none'])
    assertPassed(await vm.release(hosts[0]))
    for (const name of ['top', 'a', 'b', 'c', 'raw']) await assertLocks(hosts, name, ['none', 'none'])
  })

  test('a golden image that is another disk of the same VM, and one of two disks', async () => {
    const { hosts } = ring()
    await volumes({
      golden: {},
      one: { backing: 'golden', format: 'qcow2' },
      two: { backing: 'golden', format: 'qcow2' },
    })
    const vm = new Vm('tintin', [
      { path: '/dev/virtVG/one', inside: QCOW2 },
      { path: '/dev/virtVG/two', inside: QCOW2 },
      { path: '/dev/virtVG/golden', inside: '<readonly/>' },
    ])
    assertPassed(await vm.prepare(hosts[0]))
    await assertLocks(hosts, 'golden', ['sh', 'none'])
    assertPassed(await vm.release(hosts[0]))
    await assertLocks(hosts, 'golden', ['none', 'none'])
  })

  test('external data is the image’s own: exclusive', async () => {
    const { hosts } = ring()
    await volumes({ data: undefined, top: { dataFile: '/dev/virtVG/data' } })
    const vm = overlayVm('tintin', 'top')
    assertPassed(await vm.prepare(hosts[0]))
    await assertLocks(hosts, 'data', ['ex', 'none'])
    assertPassed(await vm.release(hosts[0]))
    await assertLocks(hosts, 'data', ['none', 'none'])
  })

  test('files, and below them a volume', async () => {
    const { hosts } = ring()
    const [a] = hosts
    await volumes({ golden: { backing: 'below', format: 'raw' }, below: undefined })
    const folder = a.root.at('/var/lib/libvirt/images')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'tintin.qcow2'), qcow2({ backing: 'middle.qcow2', format: 'qcow2' }))
    writeFileSync(join(folder, 'middle.qcow2'), qcow2({ backing: '/dev/virtVG/golden', format: 'qcow2' }))
    const vm = new Vm('tintin', [{ path: '/var/lib/libvirt/images/tintin.qcow2', inside: QCOW2 }])
    assertPassed(await vm.prepare(a, vm.xml().replace("type='block'", "type='file'").replace('dev=', 'file=')))
    for (const name of ['golden', 'below']) await assertLocks(hosts, name, ['sh', 'none'])
    assertPassed(await vm.release(a))
    for (const name of ['golden', 'below']) await assertLocks(hosts, name, ['none', 'none'])
  })

  test('an image at an offset of its source, which is where its header is', async () => {
    const { hosts } = ring()
    await volumes({ golden: {}, top: undefined })
    ring().fill('virtVG/top', Buffer.concat([Buffer.alloc(1_048_576), qcow2({ backing: 'golden', format: 'qcow2' })]))
    const vm = overlayVm('tintin', 'top')
    const xml = vm
      .xml()
      .replace("top'/>", "top'><slices><slice type='storage' offset='1048576' size='65536'/></slices></source>")
    assertPassed(await vm.prepare(hosts[0], xml))
    await assertLocks(hosts, 'golden', ['sh', 'none'])
    assertPassed(await vm.release(hosts[0]))
    await assertLocks(hosts, 'golden', ['none', 'none'])
  })

  test.each<[string, string]>([
    ['a folder called dev', '/var/lib/libvirt/images/dev/web1.qcow2'],
    ['/dev/shm', '/dev/shm/web1.qcow2'],
    ['a pool of type dir', 'pool'],
    ['LUKS on a volume', '/dev/mapper/web1_crypt'],
  ])('a qcow2 image in %s', async (_, path) => {
    const { hosts, cluster } = ring()
    const [a] = hosts
    await volumes({ golden: {}, below: undefined })
    const file = path === 'pool' ? '/srv/images/web1.qcow2' : path
    let disk = `<disk type='file'><source file='${file}'/>`
    if (path === 'pool') {
      await a.write(
        '/etc/libvirt/storage/images.xml',
        "<pool type='dir'><name>images</name><target><path>/srv/images</path></target></pool>",
      )
      disk = "<disk type='volume'><source pool='images' volume='web1.qcow2'/>"
    }
    const bytes = qcow2({ backing: '/dev/virtVG/golden', format: 'qcow2' })
    if (path.startsWith('/dev/mapper/')) {
      await a.run('lvchange', '-aey', 'virtVG/below')
      cluster.devices.stack(a.state, 'virtVG/below', { name: 'web1_crypt', uuid: 'CRYPT-LUKS2-x' })
      writeFileSync(
        a.root.at(`/dev/dm-${cluster.devices.list(a.state).find(({ name }) => name === 'web1_crypt')?.minor}`),
        bytes,
      )
    } else {
      mkdirSync(dirname(a.root.at(file)), { recursive: true })
      writeFileSync(a.root.at(file), bytes)
    }
    const vm = new Vm('tintin', [])
    const xml = vm.xml().replace('<devices>', `<devices>${disk}<target dev='vda'/>${QCOW2}</disk>`)
    assertPassed(await vm.prepare(a, xml))
    await assertLocks(hosts, 'golden', ['sh', 'none'])
    assertPassed(await a.hook({ name: 'tintin', operation: 'release', xml }))
    await assertLocks(hosts, 'golden', ['none', 'none'])
  })

  test.each<[string, Readonly<Record<string, Image | undefined>>, RegExp]>([
    [
      'itself',
      { top: { backing: 'top', format: 'qcow2' } },
      /virtVG\/top cannot be locked \(its header names virtVG\/top, which is above it\)/,
    ],
    [
      'one above it',
      { middle: { backing: 'top', format: 'qcow2' }, top: { backing: 'middle', format: 'qcow2' } },
      /virtVG\/middle cannot be locked \(its header names virtVG\/top, which is above it\)/,
    ],
    [
      'a file of the host',
      { top: { backing: '/etc/passwd', format: 'raw' } },
      /its header names '\/etc\/passwd', which is no logical volume/,
    ],
    ['a folder', { top: { backing: '/dev', format: 'raw' } }, /its header names '\/dev', which is no logical volume/],
    [
      'a volume of a VG that is not managed',
      { top: { backing: '/dev/localVG/golden', format: 'raw' } },
      /'\/dev\/localVG\/golden', which is in no volume group that lvguard manages/,
    ],
    [
      'a VG that does not exist',
      { top: { backing: '/dev/nopeVG/golden', format: 'raw' } },
      /there is no volume group nopeVG/,
    ],
    [
      'a volume that does not exist',
      { top: { backing: 'nope', format: 'raw' } },
      /there is no logical volume virtVG\/nope/,
    ],
    [
      'a path that climbs out',
      { top: { backing: '../../../../etc/shadow', format: 'raw' } },
      /which is no logical volume/,
    ],
    ['a network', { top: { backing: 'nbd://evil/x', format: 'raw' } }, /names 'nbd:\/\/evil\/x', which is no path/],
    ['words for a shell', { top: { backing: '/dev/virtVG/$(reboot)', format: 'raw' } }, /which is no logical volume/],
    ['an option', { top: { backing: '/dev/virtVG/--config', format: 'raw' } }, /which is no logical volume/],
    ['no image at all', { top: undefined }, /its header cannot be read: it is too short/],
  ])('a header that names %s: refused, and everything is as before', async (_, images, message) => {
    const { hosts, cluster } = ring()
    await volumes(images)
    cluster.create('golden', { vg: 'localVG' })
    const vm = overlayVm('tintin', 'top')
    assertRefused(await vm.prepare(hosts[0]), message)
    for (const name of Object.keys(images)) await assertLocks(hosts, name, ['none', 'none'])
    assertPassed(await vm.releaseRefused(hosts[0]))
    expect((await hosts[0].list('/run/lvguard')).filter((file) => file.endsWith('.json'))).toEqual([])
    expect(cluster.devices.list(hosts[0].state).map(({ name }) => name)).toEqual(['virtVG-lvmlock'])
  })

  test('a chain without an end in sight is refused, and undone', async () => {
    const { hosts } = ring()
    const levels = 201
    for (let level = 0; level <= levels; level++) {
      await ring().volume(`l${level}`)
      ring().fill(`virtVG/l${level}`, qcow2({ clusterBits: 9, backing: `l${level + 1}`, format: 'qcow2' }))
    }
    assertRefused(await overlayVm('tintin', 'l0').prepare(hosts[0]), /more than 200 images stand on top of each other/)
    for (const level of [0, 1, 100, 200, 201]) await assertLocks(hosts, `l${level}`, ['none', 'none'])
  })

  test('a golden image that another host writes to: refused by name, all of it undone', async () => {
    const { hosts } = ring()
    const [a, b] = hosts
    await volumes({ golden: {}, tintin: { backing: 'golden', format: 'qcow2' } })
    assertPassed(await vmOn('virtVG', 'golden').prepare(b))
    const vm = overlayVm('tintin')
    assertRefused(await vm.prepare(a), new RegExp(`virtVG/golden is held exclusively by ${b.name}`))
    await assertLocks(hosts, 'tintin', ['none', 'none'])
    await assertLocks(hosts, 'golden', ['none', 'ex'])
    assertPassed(await vm.releaseRefused(a))
  })

  const CHAIN = {
    c: {},
    b: { backing: 'c', format: 'qcow2' },
    a: { backing: 'b', format: 'qcow2' },
    top: { backing: 'a', format: 'qcow2' },
  }
  const failsWith =
    (stderr: string) =>
    (_command: unknown, perform: () => Result): Result => ({ ...perform(), code: 5, stderr })

  test.each([1, 2, 3, 4])(
    'lvchange number %i of a chain works and fails all the same: undone to the last volume',
    async (nth) => {
      const { hosts, cluster } = ring()
      const [host] = hosts
      await volumes(CHAIN)
      // What was here before stays as it was.
      await host.run('lvchange', '-asy', 'virtVG/c')
      host.faults.answer(/^lvchange .*--activate (ey|sy)/, failsWith('  Something is wrong.\n'), nth)
      const refused = await overlayVm('tintin', 'top').prepare(host)
      // The fourth is not needed: its volume is shared already.
      if (nth < 4) assertRefused(refused, /LVM says 'Something is wrong\.'/)
      else assertPassed(refused)
      assertPassed(
        await (nth < 4 ? overlayVm('tintin', 'top').releaseRefused(host) : overlayVm('tintin', 'top').release(host)),
      )
      for (const name of ['top', 'a', 'b']) await assertLocks(hosts, name, ['none', 'none'])
      await assertLocks(hosts, 'c', ['sh', 'none'])
      expect(cluster.devices.list(host.state).map(({ name }) => name)).toEqual(['virtVG-c', 'virtVG-lvmlock'])
      expect((await host.list('/run/lvguard')).filter((file) => file.endsWith('.json'))).toEqual([])
    },
  )

  test('the hook is killed between two levels: the release that follows finds what was locked', async () => {
    const { hosts } = ring()
    const [host] = hosts
    await volumes(CHAIN)
    const gate = host.faults.block(/^lvchange .*--activate sy .*virtVG\/b/)
    const vm = overlayVm('tintin', 'top')
    const killed = host.startHook({ name: 'tintin', operation: 'prepare', xml: vm.xml() })
    await gate.reached
    killed.kill('SIGKILL')
    gate.open()
    assertPassed(await vm.releaseRefused(host))
    for (const name of ['top', 'a', 'b', 'c']) await assertLocks(hosts, name, ['none', 'none'])
  })

  test('a chain that the XML tells, or a disk that is raw, is not looked for', async () => {
    const { hosts } = ring()
    await volumes({ top: { backing: '/etc/passwd', format: 'raw' } })
    for (const inside of [`${QCOW2}<backingStore/>`, "<driver name='qemu' type='raw'/>", '']) {
      const vm = new Vm('tintin', [{ path: '/dev/virtVG/top', inside }])
      assertPassed(await vm.prepare(hosts[0]))
      assertPassed(await vm.release(hosts[0]))
    }
  })

  test('an image in a VG that is left alone is left alone', async () => {
    const { hosts, cluster } = ring()
    await ring().volume('root')
    cluster.create('local', { vg: 'localVG' })
    const vm = new Vm('tintin', [{ path: '/dev/virtVG/root' }, { path: '/dev/localVG/local', inside: QCOW2 }])
    assertPassed(await vm.prepare(hosts[0]))
    assertPassed(await vm.release(hosts[0]))
  })

  test('a backing file on a device over several volumes locks them all', async () => {
    const { hosts, cluster } = ring()
    const [a, b] = hosts
    await volumes({
      left: undefined,
      right: undefined,
      golden: {},
      top: { backing: '/dev/mapper/joined', format: 'qcow2' },
    })
    for (const name of ['left', 'right']) await a.run('lvchange', '-asy', `virtVG/${name}`)
    cluster.devices.stack(a.state, ['virtVG/left', 'virtVG/right'], { name: 'joined', uuid: 'JOINED-x' })
    // Below what stands on both there is one more.
    writeFileSync(
      a.root.at(`/dev/dm-${cluster.devices.list(a.state).find(({ name }) => name === 'joined')?.minor}`),
      qcow2({ backing: '/dev/virtVG/golden', format: 'raw' }),
    )
    const vm = overlayVm('tintin', 'top')
    assertPassed(await vm.prepare(a))
    expect(
      JSON.parse((await a.read(`/run/lvguard/${vm.uuid}.json`)) ?? '')
        .volumes.map(({ lv, mode }: { lv: string; mode: string }) => `${lv} ${mode}`)
        .sort(),
    ).toEqual(['golden shared', 'left shared', 'right shared', 'top exclusive'])
    for (const name of ['left', 'right', 'golden']) await assertLocks(hosts, name, ['sh', 'none'])
    assertRefused(await new Vm('milou', [{ path: '/dev/virtVG/right' }]).prepare(b), /virtVG\/right is held shared by/)
    assertPassed(await vm.release(a))
  })

  test('a dry run says that a header will be read', async () => {
    const [a] = ring().hosts
    await volumes({ golden: {}, top: { backing: 'golden', format: 'qcow2' } })
    const { stdout } = await a.program(['--dry-run', 'tintin', 'prepare'], overlayVm('tintin', 'top').xml())
    expect(stdout).toContain('# then the header of virtVG/top is read, and what it names is locked, shared\n')
  })

  test('a backing file that a policy leaves alone is not touched', async () => {
    const { hosts } = ring()
    const [a] = hosts
    await volumes({ golden: {}, top: { backing: 'golden', format: 'qcow2' } })
    await a.write('/etc/libvirt/lvguard.conf', 'policy = [ "virtVG/golden = ignore" ]\n')
    const vm = overlayVm('tintin', 'top')
    assertPassed(await vm.prepare(a))
    await assertLocks(hosts, 'golden', ['none', 'none'])
    assertPassed(await vm.release(a))
  })
})
