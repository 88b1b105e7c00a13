import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseDomain } from '../../../src/libvirt/domain-xml.ts'

const FOLDER = new URL('../../captures/debian-12/hook-stdin-refused/', import.meta.url)

// What tells a refused prepare from a domain that ran, where no record could be written.
test.each([
  ['05-refused-prepare-begin--', false],
  ['07-refused-release-end--', false],
  ['08-missing-prepare-begin--', false],
  ['10-missing-release-end--', true],
  ['14-badqemu-release-end--', true],
])('%s', (name, expected) => {
  expect(parseDomain(readFileSync(new URL(`${name}.xml`, FOLDER), 'utf8')).gotPastPrepare).toBe(expected)
})
