import { dirname } from 'node:path'
import { type FolderEvents, statIfAny, watch } from '../system/files.ts'

/**
 * Watches a folder by inotify. If it does not exist, the nearest folder above it is watched until it does; if it is
 * replaced, the new one is watched. An event says only that something may have changed. If one is lost, the next full
 * pass sees the change.
 */
export class FolderWatch {
  #watcher: FolderEvents | undefined
  #inode: number | undefined
  readonly #folder: string
  readonly #changed: (name: string | undefined) => void

  /** @param changed is told what has changed in the folder; undefined: anything may have */
  constructor(folder: string, changed: (name: string | undefined) => void) {
    this.#folder = folder
    this.#changed = changed
    this.renew()
  }

  /** Watches anew if the folder is another one than the one that is watched. Cheap; called with each pass too. */
  renew(): void {
    const target = nearest(this.#folder)
    const inode = inodeOf(target)
    if (this.#watcher !== undefined && inode === this.#inode) return
    this.#watcher?.close()
    this.#watcher = undefined
    try {
      this.#watcher = watch(target, (_kind, name) =>
        this.#event(target === this.#folder ? (name ?? undefined) : undefined),
      )
      this.#watcher.on('error', () => {
        this.#inode = undefined
      })
      this.#inode = inode
    } catch {
      // No inotify instance is left: the passes go on.
    }
  }

  close(): void {
    this.#watcher?.close()
  }

  #event(name: string | undefined): void {
    this.renew()
    this.#changed(name)
  }
}

const inodeOf = (folder: string): number | undefined => statIfAny(folder)?.ino

const nearest = (folder: string): string =>
  inodeOf(folder) !== undefined || dirname(folder) === folder ? folder : nearest(dirname(folder))
