import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DEFAULTS } from '../../../src/core/configuration.ts'
import { candidatesOf } from '../../../src/core/domain.ts'
import { wantedByStatus } from '../../../src/core/reconcile.ts'
import { type StatusFile, isStatusFile, parseDomainStatus } from '../../../src/libvirt/domain-status.ts'
import { BadXml } from '../../../src/libvirt/domain-xml.ts'

const FOLDER = new URL('../../captures', import.meta.url).pathname
const files = (folder: string): string[] => readdirSync(join(FOLDER, folder)).map((name) => join(folder, name))
const captured = ['debian-12', 'debian-13'].flatMap((release) =>
  ['migrate-live', 'migrate-p2p'].flatMap((kind) =>
    ['node1', 'node2'].flatMap((node) => files(`${release}/status/${kind}/${node}`)),
  ),
)
const parsed = (file: string) => parseDomainStatus(readFileSync(join(FOLDER, file), 'utf8'))
/** The mode of each recorded file of one node, in order, in a word. */
const story = (folder: string): string =>
  files(folder)
    .sort()
    .map((file) => {
      const wanted = wantedByStatus(parsed(file).status)
      return wanted.mode === 'unchanged' ? wanted.why : wanted.mode
    })
    .join(' ')

describe('recorded status files', () => {
  test('there are 55, of one domain', () => {
    expect(captured).toHaveLength(55)
    for (const file of captured)
      expect(parsed(file).domain).toMatchObject({ name: 'tintin', disks: [{ target: 'vda' }, { target: 'hda' }] })
  })

  test.each<[string, string]>([
    ['debian-12/status/migrate-live/node1', 'job-starting shared shared shared shared shared'],
    ['debian-13/status/migrate-live/node1', 'shared shared shared shared shared shared'],
    ['debian-12/status/migrate-p2p/node1', 'job-starting shared shared shared shared shared'],
    ['debian-13/status/migrate-p2p/node1', 'job-starting shared shared shared shared shared shared'],
    ['debian-12/status/migrate-live/node2', 'shared shared shared shared shared exclusive'],
    ['debian-13/status/migrate-live/node2', 'shared shared shared shared shared exclusive'],
    // It begins with the end of the domain's last stay.
    ['debian-12/status/migrate-p2p/node2', 'exclusive ending shared shared shared shared shared shared exclusive'],
    ['debian-13/status/migrate-p2p/node2', 'exclusive ending shared shared shared shared shared shared exclusive'],
  ])('%s', (folder, expected) => expect(story(folder)).toBe(expected))

  test('a domain is parsed again only when it is another one', () => {
    const texts = files('debian-12/status/migrate-live/node2')
      .sort()
      .map((file) => readFileSync(join(FOLDER, file), 'utf8'))
    const versions: StatusFile[] = []
    for (const text of texts) versions.push(parseDomainStatus(text, versions.at(-1)))
    expect(versions).toEqual(texts.map((text) => parseDomainStatus(text)))
    expect(new Set(versions.map(({ domain }) => domain)).size).toBe(3)
    expect(new Set(versions.map(({ status }) => status)).size).toBe(texts.length)
  })

  test('libvirt’s words', () => {
    expect(parsed('debian-13/status/migrate-live/node1/03.xml').status).toEqual({
      state: 'paused',
      reason: 'migration',
      pid: expect.any(Number),
      async: 'migration out',
      phase: 'perform3_done',
      flags: 0x109,
    })
    expect(parsed('debian-13/status/migrate-p2p/node2/02.xml').status).toMatchObject({
      pid: 0,
      async: 'migration in',
      phase: 'prepare',
    })
    expect(parsed('debian-13/status/migrate-p2p/node2/00.xml').status).toMatchObject({
      async: 'none',
      phase: undefined,
      flags: undefined,
    })
  })
})

describe('a commit between two backing files, which has no <mirror>', () => {
  const image = (index: number, inside: string): string =>
    `<backingStore type='block' index='${index}'><format type='qcow2'/><source dev='/dev/virtVG/image${index}'/>${inside}</backingStore>`
  const disk = `<disk type='block'><source dev='/dev/virtVG/top' index='1'/>${image(2, image(11, image(3, image(4, '<backingStore/>'))))}<target dev='vda'/></disk>`
  const job = (type: string, inside: string): string =>
    `<blockjob name='commit-vda-libvirt-2-format' type='${type}' state='new'>\n<disk dst='vda'/>\n${inside}</blockjob>`
  const status = (...jobs: string[]): string =>
    `<domstatus state='running' reason='booted' pid='1'>\n<blockjobs active='yes'>\n${jobs.join('\n')}\n</blockjobs>\n` +
    `<domain type='kvm'><name>a</name><uuid>31f0bf98-d92b-41e4-bb40-86a0fb9a0eb5</uuid><devices>${disk}</devices></domain></domstatus>`
  const written = (text: string): (string | undefined)[] =>
    parseDomainStatus(text)
      .domain.disks.filter(({ readonly }) => !readonly)
      .map(({ path }) => path)
  const NODES =
    "<base node='libvirt-3-format'/>\n<top node='libvirt-11-format'/>\n<topparent node='libvirt-2-storage'/>\n"

  test.each<[string, string, string[]]>([
    ['no job', status(), []],
    [
      'the base, and the image above the top',
      status(job('commit', NODES)),
      ['/dev/virtVG/image2', '/dev/virtVG/image3'],
    ],
    [
      'beside another job',
      status(
        "<blockjob name='x' type='broken' state='ready' brokentype='commit'/>",
        job('pull', "<base node='libvirt-4-format'/>"),
        job('commit', "<base node='libvirt-11-format'/>"),
      ),
      ['/dev/virtVG/image11'],
    ],
    [
      'a commit of which nothing is told',
      status("<blockjob name='x' type='commit' state='ready'/>", job('pull', "<base node='libvirt-4-format'/>")),
      [],
    ],
    ['a pull writes to the top', status(job('pull', "<base node='libvirt-4-format'/>")), []],
  ])('%s', (_, text, expected) => expect(written(text)).toEqual(['/dev/virtVG/top', ...expected]))

  test.each(['debian-12', 'debian-13'])('as libvirt tells it: %s', (release) => {
    const modes = (moment: string): string[] =>
      candidatesOf(parsed(`${release}/status/blockcommit/${moment}.xml`).domain, DEFAULTS).volumes.map(
        ({ lv, mode }) => `${lv} ${mode}`,
      )
    expect(modes('running')).toEqual(['tintin exclusive', 'upper exclusive', 'middle shared', 'golden exclusive'])
    expect(modes('after')).toEqual(['tintin exclusive', 'upper shared', 'golden shared'])
  })

  test('the domain is read again when the job begins and ends, and only then', () => {
    const texts = [status(), status(), status(job('commit', NODES)), status(job('commit', NODES)), status()]
    const versions: StatusFile[] = []
    for (const text of texts) versions.push(parseDomainStatus(text, versions.at(-1)))
    expect(versions).toEqual(texts.map((text) => parseDomainStatus(text)))
    expect(new Set(versions.map(({ domain }) => domain)).size).toBe(3)
  })

  test('its volume is to be exclusive', () => {
    const { volumes } = candidatesOf(parseDomainStatus(status(job('commit', NODES))).domain, DEFAULTS)
    expect(volumes.map(({ lv, mode, reason }) => `${lv} ${mode}: ${reason}`)).toEqual([
      'top exclusive: disk vda',
      'image2 exclusive: commit target of disk vda',
      'image11 shared: backing file of disk vda',
      'image3 exclusive: commit target of disk vda',
      'image4 shared: backing file of disk vda',
    ])
  })
})

describe('a backup job, whose targets the domain’s XML does not name', () => {
  // As libvirt 11.3 writes it, without the node names.
  const backup = (...disks: string[]): string =>
    `<domainbackup mode='push'>\n<disks>\n${disks.join('\n')}\n</disks>\n</domainbackup>`
  const disk = (name: string, inside: string, type = 'block'): string =>
    `<disk name='${name}' backup='yes' state='running' type='${type}' backupmode='full' index='6'>\n<driver type='raw'/>\n${inside}\n</disk>`
  const nightly = disk('vda', "<target dev='/dev/backupVG/nightly'>\n<privateData/>\n</target>")
  const status = (inside = ''): string =>
    `<domstatus state='running' reason='booted' pid='1'>\n<blockjobs active='yes'/>\n<backups>\n${inside}\n</backups>\n` +
    "<domain type='kvm'><name>a</name><uuid>31f0bf98-d92b-41e4-bb40-86a0fb9a0eb5</uuid><metadata><lvguard:policy xmlns:lvguard='urn:lvguard:policy:1'><lvguard:disk target='vda' mode='shared'/></lvguard:policy></metadata>" +
    "<devices><disk type='block'><source dev='/dev/virtVG/top'/><target dev='vda'/></disk></devices></domain></domstatus>"
  test.each<[string, string, string[]]>([
    ['no job', status(), []],
    [
      'pushed to a volume',
      status(backup(nightly, "<disk name='vdb' backup='no'/>")),
      ['backupVG/nightly exclusive: backup of disk vda'],
    ],
    [
      'pulled: what is overwritten meanwhile is kept on a volume',
      status(backup(disk('vdb', "<scratch dev='/dev/backupVG/scratch'/>"))),
      ['backupVG/scratch exclusive: backup of disk vdb'],
    ],
    [
      'to a path of type file, and to one that is no volume',
      status(
        backup(disk('vda', "<target file='/dev/backupVG/a'/>", 'file'), disk('vdb', "<target file='/srv/b'/>", 'file')),
      ),
      ['backupVG/a exclusive: backup of disk vda'],
    ],
  ])('%s', (_, text, expected) =>
    expect(
      candidatesOf(parseDomainStatus(text).domain, DEFAULTS).volumes.map(
        ({ vg, lv, mode, reason }) => `${vg}/${lv} ${mode}: ${reason}`,
      ),
    ).toEqual(['virtVG/top shared: disk vda, policy in its <metadata>', ...expected]),
  )

  test('the domain is read again when it begins and ends, and only then', () => {
    const texts = [status(), status(backup(nightly)), status(backup(nightly)), status()]
    const versions: StatusFile[] = []
    for (const text of texts) versions.push(parseDomainStatus(text, versions.at(-1)))
    expect(versions).toEqual(texts.map((text) => parseDomainStatus(text)))
    expect(new Set(versions.map(({ domain }) => domain)).size).toBe(3)
  })

  test('one that is not whole is not passed over', () =>
    expect(() => parseDomainStatus(status('<domainbackup><disks></domainbackup>'))).toThrow(BadXml))
})

describe('what is not a status file', () => {
  test.each(['tintin.xml.new', 'tintin.pid', 'tintin.monitor', 'qemu.driver'])('%s', (name) =>
    expect(isStatusFile(name)).toBe(false),
  )
  test('tintin.xml is one', () => expect(isStatusFile('tintin.xml')).toBe(true))
  test.each([
    ['empty', ''],
    ['cut off', "<domstatus state='running' reason='booted' pid='1'><domain><name>a</name>"],
    ['no state', "<domstatus pid='1'/>"],
    ['a bare domain', '<domain><name>a</name><uuid>31f0bf98-d92b-41e4-bb40-86a0fb9a0eb5</uuid></domain>'],
  ])('%s', (_, text) => expect(() => parseDomainStatus(text)).toThrow())

  test('a job in the domain’s own metadata is no job', () => {
    const text =
      "<domstatus state='running' reason='booted' pid='1'><domain type='kvm'><name>a</name><uuid>31f0bf98-d92b-41e4-bb40-86a0fb9a0eb5</uuid><metadata><x:y xmlns:x='u'><job async='migration out' phase='begin3' flags='0x0'/></x:y></metadata></domain></domstatus>"
    expect(parseDomainStatus(text).status).toMatchObject({ async: 'none', phase: undefined })
  })
})
