import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { heading, missingLine, stepsOf } from './manual.ts'

const manual = [
  '# A program',
  '## First',
  'On node1:',
  '',
  '    one',
  '    # printed … ms',
  '    two \\',
  '      more',
  '',
  'Words. On both hosts, and this start is refused:',
  '',
  '    three',
  '    four',
  '    # no',
  '## Second',
  'On node2:',
  '    five',
].join('\n')

describe('the commands of a section of README.md', () => {
  test('each with where it is typed, what it prints, and whether it is refused', () => {
    expect(stepsOf(manual, '## First')).toEqual([
      { where: 'node1', command: 'one', prints: ['printed … ms'], refused: false, line: 5 },
      { where: 'node1', command: 'two \\\n  more', prints: [], refused: false, line: 7 },
      { where: 'both hosts', command: 'three', prints: [], refused: false, line: 12 },
      { where: 'both hosts', command: 'four', prints: ['no'], refused: true, line: 13 },
    ])
  })

  test('a block that does not say where it is typed is a fault of the README', () => {
    expect(() => stepsOf('## First\nNow type:\n\n    one\n', '## First')).toThrow('README.md:4')
    expect(() => stepsOf('## First\nOn node1, and then:\n\n    # one\n', '## First')).toThrow('output of no command')
    expect(() => stepsOf('## First\n', '## Third')).toThrow('no heading')
  })

  test('what is printed: in this order, others between, … for anything, any number of blanks', () => {
    const printed = ' Id   Name     State\n---\n 1    tintin   running\n'
    expect(missingLine(printed, ['Id Name State', '… tintin running'])).toBeUndefined()
    expect(missingLine(printed, ['… tintin running', 'Id Name State'])).toBe('Id Name State')
    expect(missingLine(printed, ['tintin running'])).toBe('tintin running')
    expect(missingLine('a+b\n', ['aab'])).toBe('aab')
  })

  test('those of the README can be played', () => {
    const steps = stepsOf(readFileSync('README.md', 'utf8'), heading)
    expect(steps.filter(({ refused }) => refused).map(({ command }) => command)).toEqual(['virsh start tintin'])
    expect(steps.some(({ command }) => command.startsWith('virsh migrate --live'))).toBe(true)
    expect(steps.filter(({ command }) => command.startsWith('apt-get install'))).toHaveLength(1)
  })

  test('each link of the README leads somewhere', () => {
    const text = readFileSync('README.md', 'utf8')
    const anchors = new Set(
      [...text.matchAll(/^#+ (.*)$/gm)].map(
        ([, title = '']) =>
          `#${title
            .toLowerCase()
            .replaceAll(/[^\w -]/g, '')
            .replaceAll(' ', '-')}`,
      ),
    )
    const links = [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, link = '']) => link)
    expect(links.filter((link) => (link.startsWith('#') ? !anchors.has(link) : !existsSync(link)))).toEqual([])
  })
})
