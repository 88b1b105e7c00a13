import { createHash } from 'node:crypto'
import type { Domain } from '../core/domain.ts'
import type { DomainStatus } from '../core/reconcile.ts'
import { parseDomain } from './domain-xml.ts'
import { child } from './nodes.ts'
import { sourcesOfBackup } from './sources-xml.ts'
import { parseXml } from './xml.ts'

/** A status file, parsed: the state, and the live domain inside. */
export interface StatusFile {
  readonly status: DomainStatus
  readonly domain: Domain
  /** Of the text of that domain, and of what jobs write to. */
  readonly digest: string
}

/**
 * Whether a file in /run/libvirt/qemu is a status file. libvirt writes NAME.xml.new and renames it; .pid and sockets
 * are there too.
 */
export const isStatusFile = (name: string): boolean => name.endsWith('.xml')

const COMMENT = /<!--[\s\S]*?-->/g

/**
 * Reads a status file of libvirt's qemu driver (FACTS 13; captures: libvirt 9.0 and 11.3). The job is looked for only
 * before `<domain>`, so that words in a domain's description or metadata are never taken for it.
 * @param before an earlier version of the file. libvirt writes it six to nine times in a migration, and the domain in
 *   it hardly ever changes (captures). If the domain has not changed, it is not parsed again
 * @throws BadXml if the domain inside, or its backup job, is not whole; Error if the state or the job is not there
 */
export function parseDomainStatus(text: string, before?: StatusFile): StatusFile {
  const start = /<domain[\s>]/.exec(text)?.index ?? text.length
  const end = text.lastIndexOf('</domain>')
  const head = text.slice(0, start).replace(COMMENT, '')
  const root = /<domstatus(\s[^>]*)>/.exec(head)?.[1]
  const job = /<job(\s[^>]*?)\/?>/.exec(head)?.[1] ?? ''
  const state = attribute(root, 'state')
  const pid = Number(attribute(root, 'pid'))
  if (state === undefined || !Number.isSafeInteger(pid))
    throw new Error('it has no <domstatus> with a state and a process id')
  const flags = Number(attribute(job, 'flags') ?? Number.NaN)
  const domain = text.slice(start, end < 0 ? text.length : end + '</domain>'.length)
  const written = writtenByJobs(head)
  const backup = /<domainbackup[\s>][\s\S]*<\/domainbackup>/.exec(head)?.[0] ?? ''
  const digest = createHash('sha256')
    .update(domain)
    .update([...written].join(' '))
    .update(backup)
    .digest('base64')
  return {
    status: {
      state,
      reason: attribute(root, 'reason') ?? '',
      pid,
      async: attribute(job, 'async') ?? 'none',
      phase: attribute(job, 'phase'),
      flags: Number.isSafeInteger(flags) ? flags : undefined,
    },
    domain: digest === before?.digest ? before.domain : withBackup(parseDomain(domain, undefined, written), backup),
    digest,
  }
}

/** The domain with what its backup job writes: its own XML does not name that. */
function withBackup(domain: Domain, backup: string): Domain {
  if (backup === '') return domain
  const root = child(parseXml(backup, 'the backup job'), 'domainbackup')
  return { ...domain, disks: [...domain.disks, ...sourcesOfBackup(root ?? {})] }
}

/**
 * The numbers of the images that block jobs write to. A commit between two backing files writes to the lower one, and
 * to the link in the image above the upper one. The domain's XML has no `<mirror>` then. The jobs in front of it name
 * both, by QEMU's node names, which have the numbers of the images (libvirt, qemu_domain.c:
 * qemuDomainPrivateBlockJobFormatCommit). The file is written before QEMU is asked (qemuBlockJobRegister).
 */
function writtenByJobs(head: string): Set<string> {
  const commits = [...head.matchAll(/<blockjob(\s[^>]*[^/>])>([\s\S]*?)<\/blockjob>/g)].filter(
    ([, words]) => attribute(words, 'type') === 'commit',
  )
  return new Set(
    commits.flatMap(([, , inside = '']) =>
      [...inside.matchAll(/<(?:base|topparent)\s+node=['"]libvirt-(\d+)-/g)].flatMap(([, index]) => index ?? []),
    ),
  )
}

const attribute = (words: string | undefined, name: string): string | undefined =>
  new RegExp(`\\s${name}=(?:'([^']*)'|"([^"]*)")`)
    .exec(words ?? '')
    ?.slice(1)
    .find((value) => value !== undefined)
