import { describe, expect, test } from 'vitest'
import { firstLine, jsonOf, findingLines, prometheusText } from '../../../src/cli/check-text.ts'
import { findingsOfHost } from '../../../src/core/check/check.ts'
import { CODES, CODE_NAMES, OWN_CODES, inOrder } from '../../../src/core/check/finding.ts'
import { readFileSync } from 'node:fs'
import { checkFacts } from '../support/check-facts.ts'

const facts = checkFacts({
  wdmd: false,
  addresses: { kind: 'known', value: ['127.0.1.1'] },
  pvs: { kind: 'unknown', why: 'pvs was not found' },
})
const findings = inOrder(findingsOfHost(facts), [])

describe('the first line, as a monitoring plugin prints it', () => {
  test('nothing found', () =>
    expect(firstLine([], 0)).toBe(
      `LVGUARD OK - ${OWN_CODES.length} checks, nothing found | critical=0 warning=0 unknown=0`,
    ))
  test('the worst names the state', () =>
    expect(firstLine(findings, 2)).toBe(
      'LVGUARD CRITICAL - 1 critical, 1 warning, 1 unknown: LVG102 LVG502 LVG201 (2 muted) | critical=1 warning=1 unknown=1',
    ))
  test('only what is not known', () =>
    expect(
      firstLine(
        findings.filter(({ severity }) => severity === 'unknown'),
        0,
      ),
    ).toMatch(/^LVGUARD UNKNOWN - 1 unknown: LVG201 \| /))
})

test('two lines for each: what is wrong, and what mends it', () => {
  expect(findingLines(findings).slice(0, 2)).toEqual([
    'LVG102 critical: sanlock counts on wdmd, and no wdmd runs',
    '       systemctl enable --now wdmd, and systemctl status wdmd',
  ])
})

test('JSON', () => {
  expect(JSON.parse(jsonOf('node1', '2026-11-27T22:31:00.000Z', findings.slice(0, 1), []))).toEqual({
    format: 1,
    host: 'node1',
    at: '2026-11-27T22:31:00.000Z',
    result: 'critical',
    muted: [],
    findings: [
      {
        code: 'LVG102',
        severity: 'critical',
        what: 'sanlock counts on wdmd, and no wdmd runs',
        mend: 'systemctl enable --now wdmd, and systemctl status wdmd',
      },
    ],
  })
})

test('Prometheus: each line is of the form that the collector reads, and each code has a number', () => {
  const lines = prometheusText(findings, [], facts, 1764282660).trimEnd().split('\n')
  for (const line of lines)
    expect(line).toMatch(/^(?:# (?:HELP|TYPE) lvguard_\w+ .+|lvguard_\w+(?:\{(?:\w+="[^"\n]*",?)+\})? [\d.]+)$/)
  expect(lines).toEqual(
    expect.arrayContaining([
      'lvguard_check_result 2',
      'lvguard_findings{code="LVG102"} 1',
      'lvguard_findings{code="LVG101"} 0',
      'lvguard_unknown{code="LVG201"} 1',
      'lvguard_lease_age_seconds{vg="virtVG"} 5',
      'lvguard_host_silent_seconds{vg="virtVG",host="node2"} 10',
      'lvguard_renewal_seconds_max{vg="virtVG"} 0.031',
      'lvguard_locks{vm="tintin",mode="exclusive"} 1',
    ]),
  )
  expect(lines.filter((line) => line.startsWith('lvguard_findings{'))).toHaveLength(OWN_CODES.length)
})

test('README.md has the table of codes', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')
  const rows = [...readme.matchAll(/^\| `(LVG\d{3})` \| (\w+) \| (.+) \|$/gm)].map(([, code, severity, looksAt]) => [
    code,
    severity,
    looksAt,
  ])
  expect(rows).toEqual(CODE_NAMES.map((code) => [code, CODES[code].severity, CODES[code].looksAt]))
})
