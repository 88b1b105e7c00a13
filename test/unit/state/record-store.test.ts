import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { DomainRecord } from '../../../src/core/record.ts'
import { recordOf as made, recorded, uuidOf } from '../support/lvm.ts'

const root = await vi.hoisted(async () => new (await import('../support/root.ts')).Root())
const store = await import('../../../src/state/record-store.ts')
const { RecordChanged, announceEnd, lookingAgain, readRecords, recordOf, replaceRecord, replacing } = store
const { REAL_FILES, useFiles } = await import('../../../src/system/files.ts')
const { processOf } = await import('../../../src/system/processes.ts')
const { REAL_TIME, useTime } = await import('../../../src/system/clock.ts')

const folder = join(root.path, 'run/lvguard')
const file = join(folder, `${uuidOf(1)}.json`)
beforeEach(() => root.clear())
afterAll(() => root.remove())

const volume = recorded({ vg: 'virtVG', lv: 'root' }, { ids: { lv: 'L', vg: 'V', lock: 'K' } })
const onRecord = (uuid = uuidOf(1)): DomainRecord | undefined => recordOf(uuid, readRecords())
const put = (next: DomainRecord): string => replaceRecord(next.domain.uuid, onRecord(next.domain.uuid), next)
const record = made(1, 'prepared', [volume], { daemon: { pid: 1, start: '2' } })

describe('records', () => {
  test('come back as they were written', () => {
    put(record)
    put(made(2, 'incoming', [], { incoming: { id: 'x', at: 1.5 } }))
    const records = readRecords()
    expect(recordOf(uuidOf(1), records)).toEqual(record)
    expect(recordOf(uuidOf(2), records)?.incoming).toEqual({ id: 'x', at: 1.5 })
    expect([records.known.length, records.unreadable, recordOf(uuidOf(3), records)]).toEqual([2, [], undefined])
  })

  test('take the place of the last one, leave nothing beside them, and go', () => {
    for (const state of ['prepared', 'running', 'releasing'] as const) put({ ...record, state })
    expect(readRecords().known.map(({ state }) => state)).toEqual(['releasing'])
    expect(readdirSync(folder)).toEqual([`${uuidOf(1)}.json`])
    expect(replaceRecord(uuidOf(1), onRecord(), undefined)).toBe('replaced')
    expect(replaceRecord(uuidOf(1), undefined, undefined)).toBe('replaced')
    expect(readdirSync(folder)).toEqual([])
  })

  test('no folder is no records, and a file instead of it is one that cannot be read', () => {
    expect(readRecords()).toEqual({ known: [], unreadable: [] })
    mkdirSync(join(root.path, 'run'))
    writeFileSync(folder, '')
    expect(readRecords()).toEqual({ known: [], unreadable: [folder] })
  })

  test('a write that fails says so and leaves the old record', () => {
    put(record)
    // The name of the file that is written first is taken.
    const temporary = join(folder, `.${uuidOf(1)}-${process.pid}`)
    mkdirSync(temporary)
    expect(() => put({ ...record, state: 'running' })).toThrow()
    expect(readRecords().known).toEqual([record])
  })
})

describe('while /run is full', () => {
  const full = (): never => {
    throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
  }
  afterEach(() => useFiles(REAL_FILES))
  const fill = (): void =>
    useFiles({
      ...REAL_FILES,
      writeFileSync: full,
      openSync: (path, flags, mode) => (flags === 'r+' ? REAL_FILES.openSync(path, flags, mode) : full()),
    })
  const ended = made(1, 'releasing', [volume])

  test('a record says that its domain has ended, in the room that it has already', () => {
    put(record)
    const { length } = readFileSync(file, 'utf8')
    fill()
    expect(announceEnd(uuidOf(1), record, ended)).toBe('replaced')
    expect(readRecords()).toEqual({ known: [ended], unreadable: [] })
    expect(readFileSync(file, 'utf8').length).toBe(length)
    useFiles(REAL_FILES)
    expect(put(record)).toBe('replaced')
    expect(readRecords()).toEqual({ known: [record], unreadable: [] })
  })

  test('one that is longer than the old one, or has none, is not written', () => {
    put(ended)
    fill()
    expect(() => put(record)).toThrow(/ENOSPC/)
    expect(() => put(made(2, 'prepared', [volume]))).toThrow(/ENOSPC/)
    expect(readRecords()).toEqual({ known: [ended], unreadable: [] })
  })
})

describe('a record is changed only if it is what the act has read (R11)', () => {
  const others = made(1, 'releasing', [volume])
  test.each<[string, DomainRecord | undefined, DomainRecord | undefined]>([
    ['another one is there', record, others],
    ['it is gone', record, undefined],
    ['there is one by now', undefined, others],
  ])('%s: it is left as it is', (_, expected, now) => {
    if (now !== undefined) put(now)
    expect(replaceRecord(uuidOf(1), expected, { ...record, state: 'running' })).toBe('changed')
    expect(replaceRecord(uuidOf(1), expected, undefined)).toBe('changed')
    expect(onRecord()).toEqual(now)
  })

  test("one that cannot be read is nobody's to replace (R9)", () => {
    root.write(`run/lvguard/${uuidOf(1)}.json`, 'x')
    expect(replaceRecord(uuidOf(1), undefined, record)).toBe('changed')
    expect(replaceRecord(uuidOf(1), undefined, undefined)).toBe('changed')
    expect(readFileSync(file, 'utf8')).toBe('x')
  })

  test('step by step, from what this act has written last', () => {
    const replace = replacing(uuidOf(1), undefined)
    expect([replace(record), replace({ ...record, state: 'running' })]).toEqual(['replaced', 'replaced'])
    put(others)
    expect([replace(record), replace(undefined), onRecord()]).toEqual(['changed', 'changed', others])
  })

  test('what was decided on a record that others change is decided again, not for ever', async () => {
    let tries = 0
    const act = (failures: number) =>
      lookingAgain(async () => {
        tries += 1
        if (tries <= failures) throw new RecordChanged()
        return 'done'
      })
    expect([await act(1), tries]).toEqual(['done', 2])
    tries = 0
    await expect(act(100)).rejects.toThrow('changed by somebody else')
    expect(tries).toBe(3)
  })

  describe('a release says that its domain has ended, without the locks of the VGs', () => {
    const running: DomainRecord = { ...record, state: 'running' }
    const ended: DomainRecord = { ...record, state: 'releasing' }
    /** Something happens between somebody's look at the record and its rename. */
    const meanwhile = (act: () => void): void => {
      let isDone = false
      useFiles({
        ...REAL_FILES,
        readFileSync: (path, encoding) => {
          try {
            return REAL_FILES.readFileSync(path, encoding)
          } finally {
            const isFirst = path === file && !isDone
            isDone ||= isFirst
            if (isFirst) act()
          }
        },
      })
    }
    beforeEach(() => {
      put(record)
    })
    afterEach(() => {
      useFiles(REAL_FILES)
      useTime(REAL_TIME)
    })

    /** So many seconds pass between its look and its rename. */
    const isHeldUpFor = (seconds: number): void => {
      let late = 0
      useTime({ ...REAL_TIME, monotonic: () => REAL_TIME.monotonic() + late })
      meanwhile(() => {
        late = seconds
      })
    }

    test.each([
      [0.3, 'replaced', ended],
      [2, 'changed', record],
    ] as const)('the host has no time for it for %d s in the middle of that: %s', (seconds, result, left) => {
      isHeldUpFor(seconds)
      const said = announceEnd(uuidOf(1), record, ended)
      useFiles(REAL_FILES)
      expect([said, onRecord()]).toEqual([result, left])
    })

    test('nobody is at work on it: said, and nothing is left beside it', () => {
      expect([announceEnd(uuidOf(1), record, ended), onRecord(), readdirSync(folder)]).toEqual([
        'replaced',
        ended,
        [`${uuidOf(1)}.json`],
      ])
    })

    test('another act changes it between the look and the rename: what that one has put down stays', () => {
      const results: string[] = []
      meanwhile(() => results.push(replaceRecord(uuidOf(1), record, running)))
      results.push(announceEnd(uuidOf(1), record, ended))
      useFiles(REAL_FILES)
      expect([results, onRecord()]).toEqual([['replaced', 'changed'], running])
    })

    test('another act is between its look and its rename: the release waits for nobody, and says nothing', () => {
      const results: string[] = []
      meanwhile(() => results.push(announceEnd(uuidOf(1), record, ended)))
      results.push(replaceRecord(uuidOf(1), record, running))
      useFiles(REAL_FILES)
      expect([results, onRecord(), readdirSync(folder)]).toEqual([
        ['changed', 'replaced'],
        running,
        [`${uuidOf(1)}.json`],
      ])
    })

    test('the turn of one that was killed is taken away by an act that has the locks, and by nobody else', () => {
      writeFileSync(join(folder, `.${uuidOf(1)}.turn`), '')
      expect([announceEnd(uuidOf(1), record, ended), onRecord()]).toEqual(['changed', record])
      expect([replaceRecord(uuidOf(1), record, running), onRecord(), readdirSync(folder)]).toEqual([
        'replaced',
        running,
        [`${uuidOf(1)}.json`],
      ])
    })

    /** How often an act asks for the turn until it has it: it waits between two tries. */
    const triesOf = (act: () => void): number => {
      let tries = 0
      useFiles({
        ...REAL_FILES,
        openSync: (path, flags, mode) => {
          if (path.endsWith('.turn')) tries++
          return REAL_FILES.openSync(path, flags, mode)
        },
      })
      act()
      useFiles(REAL_FILES)
      return tries
    }

    // Three hundred stops at once (npm run crowd 300): whoever had the lock waited 2 s for each of these.
    test.each([
      ['was killed in its turn', () => writeFileSync(join(folder, `.${uuidOf(1)}.turn`), '1 0\n')],
      [
        'came too late in its turn',
        () => {
          isHeldUpFor(2)
          announceEnd(uuidOf(1), record, ended)
        },
      ],
    ])('one that %s is not waited for', (_, happens) => {
      happens()
      expect([triesOf(() => replaceRecord(uuidOf(1), record, running)), onRecord()]).toEqual([2, running])
      expect(readdirSync(folder)).toEqual([`${uuidOf(1)}.json`])
    })

    test('one that lives is, until its turn must be over', () => {
      writeFileSync(join(folder, `.${uuidOf(1)}.turn`), `${process.pid} ${processOf(process.pid)?.start}\n`)
      expect(triesOf(() => replaceRecord(uuidOf(1), record, running))).toBeGreaterThan(100)
    })

    test('one that comes too late ends its own turn, and not the one of the act that has taken it away', () => {
      let late = 0
      useTime({ ...REAL_TIME, monotonic: () => REAL_TIME.monotonic() + late })
      meanwhile(() => {
        late = 2
        // What an act does that has waited long enough.
        rmSync(join(folder, `.${uuidOf(1)}.turn`))
        writeFileSync(join(folder, `.${uuidOf(1)}.turn`), 'another one')
      })
      announceEnd(uuidOf(1), record, ended)
      useFiles(REAL_FILES)
      expect(readFileSync(join(folder, `.${uuidOf(1)}.turn`), 'utf8')).toBe('another one')
    })

    test('there is none, and none is to be: one that comes at this moment stays', () => {
      replaceRecord(uuidOf(1), record, undefined)
      meanwhile(() => put(record))
      replaceRecord(uuidOf(1), undefined, undefined)
      useFiles(REAL_FILES)
      expect(onRecord()).toEqual(record)
    })
  })

  // Whatever else writes into /run/lvguard is named here: locks, marks, the agent's sign of life, what a command has
  // said.
  test('nothing else writes one', () => {
    expect(Object.keys(store).sort()).toEqual([
      'RecordChanged',
      'announceEnd',
      'lookingAgain',
      'makeRunFolder',
      'readRecords',
      'recordOf',
      'replaceRecord',
      'replacing',
    ])
    const writers = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .filter((name) => {
        const text = readFileSync(join('src', name), 'utf8')
        return (
          /RUN_FOLDER|run\/lvguard\//.test(text) &&
          /\b(write|append|rename|rm|unlink|open|copyFile|link|truncate)(File)?Sync\b/.test(text)
        )
      })
    expect(writers.sort()).toEqual([
      'acts/waiting-starts.ts',
      'cli/check.ts',
      'cli/sync.ts',
      'drbd/notes.ts',
      'kill/mark.ts',
      'state/agent-presence.ts',
      'state/late-release.ts',
      'state/record-store.ts',
      'state/saved-images.ts',
      'state/vg-lock.ts',
      'system/run.ts',
    ])
    const withJson = ['state/record-store.ts', 'state/saved-images.ts', 'drbd/notes.ts', 'acts/waiting-starts.ts']
    for (const name of writers.filter((each) => !withJson.includes(each)))
      expect(readFileSync(join('src', name), 'utf8')).not.toMatch(/\.json['"`]/)
    // Three others write JSON, but into a folder of their own, and something else here.
    const writesHere = (name: string) =>
      readFileSync(join('src', name), 'utf8')
        .match(/join\(RUN_FOLDER.*/g)
        ?.map((each) => each.replace(/.*}/, ''))
    expect(writesHere('state/saved-images.ts')).toEqual(['.restore`)'])
    expect(writesHere('acts/waiting-starts.ts')).toEqual(["join(RUN_FOLDER, 'waiting')"])
    expect(writesHere('drbd/notes.ts')).toEqual(['`)', "join(RUN_FOLDER, 'drbd')"])
  })
})

describe('what is no record cannot be read, and is not taken for none (R9)', () => {
  const changed = (change: Readonly<Record<string, unknown>>): string => JSON.stringify({ ...record, ...change })
  const withVolume = (change: Readonly<Record<string, unknown>>): string =>
    changed({ volumes: [{ ...volume, ...change }] })
  test.each<[string, string]>([
    ['nothing', ''],
    ['cut off', changed({}).slice(0, 50)],
    ['null', 'null'],
    ['a list', '[]'],
    ['a later format', changed({ format: 2 })],
    ['no domain', changed({ domain: undefined })],
    ['another UUID than its name', changed({ domain: { name: 'a', uuid: uuidOf(2) } })],
    ['no name', changed({ domain: { uuid: uuidOf(1) } })],
    ['a state that nobody knows', changed({ state: 'sleeping' })],
    ['volumes that are no list', changed({ volumes: {} })],
    ['a volume that is none', changed({ volumes: [null] })],
    ['a mode that nobody knows', withVolume({ mode: 'read-only' })],
    ['a role that nobody knows', withVolume({ role: 'owner' })],
    ['not known whether it was active', withVolume({ before: undefined })],
    ['no VG', withVolume({ vg: undefined })],
    // `lvchange -an virtVG/` would be the whole VG.
    ['an LV without a name', withVolume({ lv: '' })],
    ['a VG with a name that LVM would not take', withVolume({ vg: '../x' })],
  ])('%s', (_, text) => {
    root.write(`run/lvguard/${uuidOf(1)}.json`, text)
    expect(readRecords()).toEqual({ known: [], unreadable: [file] })
  })

  // One line each as 0.1.0 wrote it, over the days before 0.2.0 in which it was used.
  test.each<[string, string]>([
    [
      'a VM that was started',
      '{"format":1,"domain":{"name":"tintin","uuid":"UUID"},"state":"prepared","volumes":[{"vg":"virtVG","lv":"tintin","role":"exclusive","mode":"exclusive","before":"inactive","ids":{"lv":"a","vg":"b","lock":"c"}}],"daemon":{"pid":899,"start":"1234"}}',
    ],
    [
      'one whose volumes were not looked up yet',
      '{"format":1,"domain":{"name":"tintin","uuid":"UUID"},"state":"running","volumes":[{"vg":"virtVG","lv":"tintin","role":"exclusive","mode":"shared","before":"active"}]}',
    ],
    [
      'a local one',
      '{"format":1,"domain":{"name":"tintin","uuid":"UUID"},"state":"running","volumes":[{"vg":"ownVG","lv":"tintin","role":"exclusive","mode":"local","before":"inactive"}]}',
    ],
    [
      'a thin one, and one of which the VM has a partition',
      '{"format":1,"domain":{"name":"tintin","uuid":"UUID"},"state":"running","volumes":[{"vg":"virtVG","lv":"thin","role":"exclusive","mode":"exclusive","before":"inactive","pool":{"lv":"pool","before":"inactive"}},{"vg":"virtVG","lv":"parts","role":"exclusive","mode":"exclusive","before":"inactive","partition":true}]}',
    ],
    [
      'one that comes by a migration',
      '{"format":1,"domain":{"name":"tintin","uuid":"UUID"},"state":"incoming","volumes":[],"daemon":{"pid":899,"start":"1234"},"incoming":{"id":"x","at":1.5}}',
    ],
    [
      'one with a migration in doubt',
      '{"format":1,"domain":{"name":"tintin","uuid":"UUID"},"state":"running","volumes":[{"vg":"virtVG","lv":"tintin","role":"exclusive","mode":"shared","before":"inactive"}],"migration":{"phase":"perform3_done","suspend":"asked"}}',
    ],
    ['one that was refused', '{"format":1,"domain":{"name":"tintin","uuid":"UUID"},"state":"refused","volumes":[]}'],
  ])('a record of 0.1.0 is read, and goes on: %s', (_, line) => {
    const text = line.replace('UUID', uuidOf(1))
    root.write(`run/lvguard/${uuidOf(1)}.json`, `${text}\n`)
    expect(readRecords()).toEqual({ known: [JSON.parse(text)], unreadable: [] })
    const read = onRecord()
    if (read === undefined) throw new Error('it is not on record')
    expect(replaceRecord(uuidOf(1), read, { ...read, state: 'releasing' })).toBe('replaced')
    expect(onRecord()?.volumes).toEqual(read.volumes)
  })

  test('other files are none of it', () => {
    for (const name of ['virtVG.lock', `.${uuidOf(1)}-7`, 'notes.json', `${uuidOf(1)}.json.bak`])
      root.write(`run/lvguard/${name}`, 'x')
    expect(readRecords()).toEqual({ known: [], unreadable: [] })
  })
})
