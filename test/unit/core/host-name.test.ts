import { expect, test } from 'vitest'
import { hostNameIn, isHostName } from '../../../src/core/host-name.ts'

test.each<[string, boolean]>([
  ['node2', true],
  ['node2.example.org', true],
  ['n', true],
  ['n'.repeat(253), true],
  ['n'.repeat(254), false],
  ['node2.', false],
  ['node2-', false],
  ['-oProxyCommand=x', false],
  ['node2/system?command=/bin/x', false],
  ['node2\n', false],
  ['', false],
  ['a b', false],
])('%j is a name of a host: %s', (name, expected) => expect(isHostName(name)).toBe(expected))

test.each<[string, string]>([
  ['b2a1cd88-5c2e-4f0a-9d55-0d5a7e1b2c3d.node1.example.org', 'node1.example.org'],
  ['node1', 'node1'],
  ['', ''],
])('who joined a lockspace as %j is host %j', (joinedAs, name) => expect(hostNameIn(joinedAs)).toBe(name))
