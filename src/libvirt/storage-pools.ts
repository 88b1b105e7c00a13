import { readFileSync, readdirSync } from '../system/files.ts'
import { join } from 'node:path'
import { POOL_DEFINITION_FOLDER, POOL_STATE_FOLDER } from '../system/paths.ts'
import { type Node, attribute, child, text } from './nodes.ts'
import { isErrno } from '../system/error-message.ts'

/** Reads a document. Given by the caller, because the parser is not in this chunk. @throws if it is not well-formed */
export type Parse = (xml: string, what: string) => Node

/**
 * Where a volume of a pool is, as libvirt would find it. `elsewhere`: in a pool that is not on this host's block
 * devices.
 */
export type PoolVolume =
  /** `partition`: it is only a part of what is at the path. */
  | { readonly kind: 'path'; readonly path: string; readonly partition?: true }
  | { readonly kind: 'elsewhere' }
  | { readonly kind: 'unknown'; readonly detail: string }

/**
 * Finds a volume of a storage pool without asking libvirt, which would wait for the hook (R7): in what libvirt has
 * written of a running pool (also a transient one), else in its definition.
 * - logical: /dev/VG/VOLUME, whatever its target says (libvirt sets that itself, storage_conf.c);
 * - dir, fs, netfs and the like: below the target;
 * - disk: a partition of the source device, which is what has to be locked.
 */
export function findVolume(pool: string, volume: string, parse: Parse): PoolVolume {
  const definition = definitionOf(pool, parse)
  if ('detail' in definition) return { kind: 'unknown', detail: definition.detail }
  const { node } = definition
  const source = child(node, 'source') ?? {}
  const target = text(child(node, 'target') ?? {}, 'path')?.trim() ?? ''
  switch (attribute(node, 'type')) {
    case 'logical':
      return { kind: 'path', path: `/dev/${vgOf(node)}/${volume}` }
    case 'dir':
    case 'fs':
    case 'netfs':
    case 'vstorage':
      return target === ''
        ? { kind: 'unknown', detail: `the storage pool ${pool} has no target path` }
        : { kind: 'path', path: `${target}/${volume}` }
    case 'disk': {
      const device = attribute(child(source, 'device'), 'path')
      return device === undefined
        ? { kind: 'unknown', detail: `the storage pool ${pool} has no source device` }
        : { kind: 'path', path: device, partition: true }
    }
    default:
      return { kind: 'elsewhere' }
  }
}

/** The VG of a logical pool. If its source has no name, the VG has that of the pool. */
const vgOf = (pool: Node): string => {
  const name = text(child(pool, 'source') ?? {}, 'name')?.trim()
  return name === undefined || name === '' ? (text(pool, 'name') ?? '') : name
}

/**
 * The logical pool on a VG that runs on this host or is defined here, if there is one: it takes every volume when it
 * starts (FACTS 18).
 * @param isRunning only one that runs counts
 */
export function logicalPoolOn(vg: string, isRunning: boolean, parse: Parse): string | undefined {
  const folders = isRunning ? [POOL_STATE_FOLDER] : [POOL_STATE_FOLDER, POOL_DEFINITION_FOLDER]
  const names = folders
    .flatMap(filesIn)
    .filter((name) => name.endsWith('.xml'))
    .map((name) => name.slice(0, -'.xml'.length))
  return names.find((name) => {
    const definition = definitionOf(name, parse)
    return 'node' in definition && attribute(definition.node, 'type') === 'logical' && vgOf(definition.node) === vg
  })
}

function definitionOf(pool: string, parse: Parse): { readonly node: Node } | { readonly detail: string } {
  // libvirt allows no slash in a pool's name, but does not check the XML of a domain for it.
  if (pool.includes('/') || pool.includes('\0')) return { detail: `no storage pool can be called '${pool}'` }
  for (const folder of [POOL_STATE_FOLDER, POOL_DEFINITION_FOLDER]) {
    try {
      const root = parse(
        readFileSync(join(folder, `${pool}.xml`), 'utf8'),
        `the definition of the storage pool ${pool}`,
      )
      // The state of a running pool is wrapped.
      const node = child(child(root, 'poolstate') ?? root, 'pool')
      return node === undefined ? { detail: `the definition of the storage pool ${pool} is not one` } : { node }
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) return { detail: error instanceof Error ? error.message : String(error) }
    }
  }
  return { detail: `there is no storage pool ${pool} on this host` }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
