import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

export const HOSTS = fileURLToPath(new URL('hosts.sh', import.meta.url))

/**
 * Runs hosts.sh.
 * @returns its standard output
 * @throws Error with what it said, if it fails
 */
export async function hosts(...words: string[]): Promise<string> {
  return (await execa('bash', [HOSTS, ...words], { stdin: 'ignore' })).stdout
}

/** Why this machine cannot have two hosts with real locks; undefined if it can. */
export async function available(): Promise<string | undefined> {
  const { exitCode, stderr, message } = await execa('bash', [HOSTS, 'check'], { stdin: 'ignore', reject: false })
  return exitCode === 0 ? undefined : stderr?.replace(/^hosts\.sh: /, '') || message
}
