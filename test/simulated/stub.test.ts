import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { BUILT, type Ended, isRoot, withBuiltFile } from './built-file.ts'

let folder: string
beforeAll(() => {
  folder = withBuiltFile()
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

/**
 * Runs the shell's part with a PATH in which there is no Node; /usr/bin/node and the like are looked for all the same.
 */
const run = (
  words: readonly string[],
  options: { PATH?: string; shell?: string; file?: string } = {},
): Promise<Ended> =>
  execa(options.shell ?? '/bin/sh', [options.file ?? join(folder, 'qemu'), ...words], {
    env: { PATH: options.PATH ?? '/nonexistent' },
    extendEnv: false,
    input: '',
    reject: false,
  })

const isNodeElsewhere = async (): Promise<boolean> =>
  (await execa('/bin/sh', ['-c', '[ -x /usr/bin/node ] || [ -x /usr/local/bin/node ]'], { reject: false })).exitCode ===
  0

describe('the shell part', () => {
  test.each(['start', 'started', 'restore', 'reconnect', 'attach'])('%s ends there with 0', async (operation) => {
    expect(await run(['tintin', operation, 'begin', '-'])).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
  })

  test.each(['--help', 'a:-b', '-', '*', 'a b'])(
    'reconnect of a domain called %s ends there with 0, whatever the sub-operation',
    async (name) => {
      for (const sub of ['begin', 'end', '-'])
        expect(await run([name, 'reconnect', sub, '-'])).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
      expect(await run(['tintin', 'reconnect', 'halfway', name])).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
    },
  )

  test('stopped ends there too, and so does reconnect with words of a future libvirt', async () => {
    expect(await run(['tintin', 'stopped', 'end', '-'])).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
    expect(await run(['tintin', 'reconnect', 'begin', '-', 'more'])).toMatchObject({
      exitCode: 0,
      stdout: '',
      stderr: '',
    })
    expect(await run(['--dry-run', 'reconnect', 'begin', '-'])).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
  })

  test.skipIf(!isRoot)(`a call by anyone but root ends there with 0${isRoot ? '' : ' (needs root)'}`, async () => {
    // Where anyone may read it: the project may be in root's own folder.
    const open = withBuiltFile()
    onTestFinished(() => rmSync(open, { recursive: true, force: true }))
    chmodSync(open, 0o755)
    const everybodys = join(open, 'qemu')
    chmodSync(everybodys, 0o755)
    for (const operation of ['prepare', 'release', 'migrate', 'hibernate']) {
      const { exitCode, stdout, stderr } = await execa(
        'setpriv',
        ['--reuid=65534', '--regid=65534', '--clear-groups', '/bin/sh', everybodys, 'tintin', operation, 'begin', '-'],
        { reject: false, input: '' },
      )
      expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    }
  })

  test('no Node: one sentence for what is handled, nothing for what is not', async (context) => {
    const saved = join(folder, 'var/lib/lvguard/saved')
    mkdirSync(saved, { recursive: true })
    writeFileSync(join(saved, 'x.json'), '')
    onTestFinished(() => rmSync(saved, { recursive: true }))
    if (await isNodeElsewhere()) {
      // The machine's own Node would be found: a namespace without it.
      if (!isRoot) return context.skip('Node is in /usr/bin, which only root can hide')
      const hide =
        'for n in /usr/bin/node /usr/local/bin/node; do [ -e $n ] && mount --bind /dev/null $n; done; exec /bin/sh "$0" "$@"'
      const without = (words: readonly string[]): Promise<Ended> =>
        execa('unshare', ['-m', '/bin/sh', '-c', hide, join(folder, 'qemu'), ...words], {
          env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LVGUARD_ROOT: folder },
          extendEnv: false,
          input: '',
          reject: false,
        })
      expect(await without(['tintin', 'prepare', 'begin', '-'])).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(/^lvguard: Node\.js 18\.19 or newer is needed and none was found.*$/),
      })
      expect(await without(['tintin', 'hibernate', 'begin', '-'])).toMatchObject({ exitCode: 0, stderr: '' })
      expect(await without(['tintin', 'reconnect', 'begin', '-'])).toMatchObject({ exitCode: 0, stderr: '' })
      // libvirt 11.3 removes a saved memory whose `restore` was refused. The `prepare` that follows refuses.
      expect(await without(['tintin', 'restore', 'begin', '-'])).toMatchObject({ exitCode: 0, stderr: '' })
      return undefined
    }
    expect(await run(['tintin', 'prepare', 'begin', '-'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/Node\.js 18\.19/),
    })
    return undefined
  })

  test('is the same in other shells', async () => {
    for (const shell of ['/bin/bash', '/bin/dash']) {
      expect(await run(['tintin', 'started', 'begin', '-'], { shell })).toMatchObject({
        exitCode: 0,
        stdout: '',
        stderr: '',
      })
      expect(await run(['--version'], { shell, PATH: process.env['PATH'] ?? '' })).toMatchObject({
        exitCode: 0,
        stdout: expect.stringMatching(/^lvguard \d/),
      })
    }
  })

  test('a Node that is too old says so in one sentence, and only for what is handled', async () => {
    // The built file as an old Node would see it: its version is what the first JavaScript looks at.
    const pretend =
      "Object.defineProperty(process.versions, 'node', { value: '12.22.12' }); Object.defineProperty(process, 'version', { value: 'v12.22.12' })"
    writeFileSync(join(folder, 'pretend.cjs'), pretend)
    const old = (words: readonly string[]): Promise<Ended> =>
      execa(process.execPath, ['-r', join(folder, 'pretend.cjs'), BUILT, ...words], { reject: false, input: '' })
    expect(await old(['tintin', 'prepare', 'begin', '-'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^lvguard: Node\.js 18\.19 or newer is needed, but .* is v12\.22\.12\.$/),
    })
    expect(await old(['tintin', 'hibernate', 'begin', '-'])).toMatchObject({ exitCode: 0, stderr: '' })
  })
})

describe('the built file', () => {
  test('is the same from the same sources', async () => {
    const { readFileSync } = await import('node:fs')
    const before = readFileSync(BUILT)
    const root = fileURLToPath(new URL('../..', import.meta.url))
    await execa('node', [join(root, 'build.mjs')], { env: { LVGUARD_TARGET: join(folder, 'again') } })
    expect(readFileSync(join(folder, 'again')).equals(before)).toBe(true)
  })

  test('keeps the licences of what it bundles', async () => {
    const { readFileSync } = await import('node:fs')
    const text = readFileSync(BUILT, 'latin1')
    for (const name of ['execa', 'winston', 'fast-xml-parser', 'smol-toml'])
      expect(text).toMatch(new RegExp(`^.*\\b${name} \\d+\\.\\d+\\.\\d+`, 'm'))
    expect(text).toContain('Permission is hereby granted')
    expect(text).toMatch(/^[\0-\x7f]*$/)
  })
})
