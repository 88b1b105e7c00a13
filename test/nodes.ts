import { mkdirSync, existsSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'

/** One of each line that lvguard runs on: the oldest that it may meet, and today's. */
const VERSIONS = ['18.19.1', '20.19.2', '22.23.3', '24.21.0']
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'lvguard-nodes')

/** Node's own binary, from the registry's package of it; kept for the next run. */
async function nodeFolder(version: string): Promise<string> {
  const folder = join(CACHE, version)
  if (existsSync(join(folder, 'node_modules'))) return join(folder, 'node_modules', packageName(), 'bin')
  const making = `${folder}.${process.pid}`
  rmSync(making, { recursive: true, force: true })
  mkdirSync(making, { recursive: true })
  await execa('npm', [
    'install',
    '--prefix',
    making,
    '--no-save',
    '--no-audit',
    '--no-fund',
    `${packageName()}@${version}`,
  ])
  renameSync(making, folder)
  return join(folder, 'node_modules', packageName(), 'bin')
}

const packageName = (): string => `node-linux-${process.arch}`

/** `npm run test:nodes`: a VM's life with the built file on each supported Node, on the simulated tools. */
export async function main(): Promise<number> {
  let failed = 0
  for (const version of VERSIONS) {
    const folder = await nodeFolder(version)
    const { exitCode, all } = await execa(
      'npx',
      [
        'vitest',
        'run',
        '--config',
        'test/vitest.config.mts',
        'test/simulated/scenarios',
        'test/simulated/lease',
        '-t',
        'start on A|a migration: demoted|sixteen disks|waits for a file',
      ],
      {
        env: { LVGUARD_TEST_NODE: folder },
        reject: false,
        all: true,
      },
    )
    // What the stub starts the agent with: a Node without this flag would end at once.
    const agent = await execa(join(folder, 'node'), ['--optimize-for-size', '-e', '0'], { reject: false })
    if (exitCode !== 0 || agent.exitCode !== 0) failed++
    process.stdout.write(
      `Node ${version}: ${/^\d+ passed.*$/m.exec(all)?.[0] ?? 'did not run'}\n${exitCode === 0 ? '' : all}${agent.stderr}`,
    )
  }
  return failed === 0 ? 0 : 1
}
