import { mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { SavedImage } from '../../../src/core/saved-image.ts'
import { uuidOf } from '../support/lvm.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const { KEPT_IMAGES, announceRestore, managedSave, readSavedImage, removeSavedImage, takeRestore, writeSavedImage } =
  await import('../../../src/state/saved-images.ts')

const folder = join(root.path, 'var/lib/lvguard/saved')
const tintin = { name: 'tintin', uuid: uuidOf(1) }
const image: SavedImage = {
  format: 1,
  domain: tintin,
  at: '2026-11-27T22:31:09.123Z',
  volumes: [{ vg: 'virtVG', lv: 'root', uuid: 'abc-1', lver: 5 }],
}
beforeEach(() => {
  root.clear()
  rmSync(join(root.path, 'var'), { recursive: true, force: true })
})
afterAll(() => root.remove())

describe('what is noted of a saved memory', () => {
  test('comes back as it was written, for root alone, and goes', () => {
    writeSavedImage(image)
    expect(readSavedImage(tintin.uuid)).toEqual(image)
    expect([statSync(folder).mode & 0o777, statSync(join(folder, `${tintin.uuid}.json`)).mode & 0o777]).toEqual([
      0o700, 0o600,
    ])
    expect(readdirSync(folder)).toEqual([`${tintin.uuid}.json`])
    removeSavedImage(tintin.uuid)
    removeSavedImage(tintin.uuid)
    expect(readSavedImage(tintin.uuid)).toBeUndefined()
  })

  test.each([
    ['cut short', '{"format":1'],
    ['of another format', JSON.stringify({ ...image, format: 2 })],
    ['of another domain', JSON.stringify({ ...image, domain: { name: 'x', uuid: uuidOf(2) } })],
    ['with a UUID that is none', JSON.stringify({ ...image, volumes: [{ ...image.volumes[0], uuid: 'a || b' }] })],
    ['with half a count', JSON.stringify({ ...image, volumes: [{ ...image.volumes[0], lver: '5' }] })],
  ])('one that is %s is not believed', (_, text) => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `${tintin.uuid}.json`), text)
    expect(() => readSavedImage(tintin.uuid)).toThrow()
  })

  test('does not grow without end: the oldest goes', () => {
    mkdirSync(folder, { recursive: true })
    for (let number = 1; number <= KEPT_IMAGES; number++) {
      const file = join(folder, `${uuidOf(number)}.json`)
      writeFileSync(file, '')
      utimesSync(file, number, number)
    }
    writeSavedImage({ ...image, domain: { name: 'new', uuid: uuidOf(KEPT_IMAGES + 1) } })
    const names = readdirSync(folder)
    expect([
      names.length,
      names.includes(`${uuidOf(1)}.json`),
      names.includes(`${uuidOf(2)}.json`),
      names.includes(`${uuidOf(KEPT_IMAGES + 1)}.json`),
    ]).toEqual([KEPT_IMAGES, false, true, true])
  })
})

describe('a managed save, by the file that libvirt before 10.5 leaves', () => {
  const file = join(root.path, 'var/lib/libvirt/qemu/save/tintin.save')
  const now = Date.now()
  const writtenBefore = (seconds: number): void => {
    mkdirSync(join(file, '..'), { recursive: true })
    writeFileSync(file, '')
    utimesSync(file, now / 1000 - seconds, now / 1000 - seconds)
  }
  test('none', () => expect(managedSave(tintin, now)).toBe('none'))
  test('a name that is no file', () => expect(managedSave({ ...tintin, name: '../tintin' }, now)).toBe('none'))
  test('a new one', () => {
    writtenBefore(3)
    expect(managedSave(tintin, now)).toBe('new')
  })
  test('an old one, from before this life of the VM', () => {
    writtenBefore(300)
    expect(managedSave(tintin, now)).toBe('other')
  })
  test('the one that was noted', () => {
    writtenBefore(3)
    writeSavedImage(image)
    expect(managedSave(tintin, now + 1000)).toBe('noted')
  })
})

describe('whether a prepare belongs to a restore', () => {
  const daemon = { pid: 42, start: '7' }
  test('of the same daemon, a moment ago, once', () => {
    announceRestore(tintin, daemon, 100)
    expect([takeRestore(tintin, daemon, 101), takeRestore(tintin, daemon, 101)]).toEqual([{ problems: [] }, undefined])
  })
  test.each([
    [{ pid: 42, start: '8' }, 101],
    [{ pid: 43, start: '7' }, 101],
    [daemon, 300],
    [daemon, 99],
  ])('not of %j at %i', (other, now) => {
    announceRestore(tintin, daemon, 100)
    expect(takeRestore(tintin, other, now)).toBeUndefined()
  })
  test('a managed save that is gone by now was not restored: its restore failed before, and this start is a fresh one', () => {
    const file = 'var/lib/libvirt/qemu/save/tintin.save'
    root.write(file, '')
    announceRestore(tintin, daemon, 100)
    expect(takeRestore(tintin, daemon, 101)).toBeDefined()
    announceRestore(tintin, daemon, 100)
    rmSync(join(root.path, file))
    expect(takeRestore(tintin, daemon, 101)).toBeUndefined()
  })
  test('what speaks against a managed save reaches its prepare, however long the host stood still in between', () => {
    root.write('var/lib/libvirt/qemu/save/tintin.save', '')
    const problems = [{ kind: 'stale-memory', volume: 'virtVG/root', at: image.at, by: 'node2', holders: [] }] as const
    announceRestore(tintin, daemon, 100, problems)
    expect(takeRestore(tintin, daemon, 900)).toEqual({ problems })
    announceRestore(tintin, daemon, 100, problems)
    expect(takeRestore(tintin, { pid: 42, start: '8' }, 101)).toEqual({ problems })
    rmSync(join(root.path, 'var/lib/libvirt'), { recursive: true })
    announceRestore(tintin, daemon, 100, problems)
    expect(takeRestore(tintin, daemon, 900)).toBeUndefined()
  })
  test('none was announced', () => expect(takeRestore(tintin, daemon, 101)).toBeUndefined())
})
