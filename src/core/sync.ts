import type { Status } from './status.ts'

/** A definition as it is compared and shown, in lines. */
export const linesOfDefinition = (xml: string): string[] =>
  withoutOwn(xml)
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line.trim() !== '')

/**
 * Without parts that always differ: the id of a VM that runs, comments, and lvguard's own element of a migration
 * (DESIGN 4), which an offline migration leaves behind.
 */
const withoutOwn = (xml: string): string =>
  xml
    .replaceAll(/<!--[\s\S]*?-->/g, '')
    .replace(/(<domain\s[^>]*?)\s+id=(?:'\d+'|"\d+")/, '$1')
    .replaceAll(/<(?:\w+:)?incoming\s[^>]*urn:lvguard:incoming:1[^>]*(?:\/>|>[\s\S]*?<\/(?:\w+:)?incoming>)/g, '')
    .replaceAll(/<metadata>\s*<\/metadata>/g, '')

/** A secret is compared, and not shown. */
const shown = (line: string): string => line.replaceAll(/(\bpasswd=)(?:'[^']*'|"[^"]*")/g, "$1'***'")

/** Lines around a difference. */
const AROUND = 2

/**
 * What is to change in `there` to make it `here`, as a person reads it: `-` what goes, `+` what comes, and the lines
 * around. Empty if they are the same.
 */
export function differences(there: readonly string[], here: readonly string[]): string[] {
  // Lengths of the longest common part of what is left of both.
  const common = Array.from({ length: there.length + 1 }, () => new Array<number>(here.length + 1).fill(0))
  for (let a = there.length - 1; a >= 0; a--) {
    for (let b = here.length - 1; b >= 0; b--) {
      const [row, next] = [common[a] ?? [], common[a + 1] ?? []]
      row[b] = there[a] === here[b] ? (next[b + 1] ?? 0) + 1 : Math.max(next[b] ?? 0, row[b + 1] ?? 0)
    }
  }
  const all: { readonly sign: ' ' | '-' | '+'; readonly line: string }[] = []
  let [a, b] = [0, 0]
  while (a < there.length || b < here.length) {
    if (a < there.length && b < here.length && there[a] === here[b])
      all.push({ sign: ' ', line: there[a++] ?? '' }) && b++
    else if (b >= here.length || (a < there.length && (common[a + 1]?.[b] ?? 0) >= (common[a]?.[b + 1] ?? 0)))
      all.push({ sign: '-', line: there[a++] ?? '' })
    else all.push({ sign: '+', line: here[b++] ?? '' })
  }
  const near = all.map((_, at) => all.slice(Math.max(0, at - AROUND), at + AROUND + 1).some(({ sign }) => sign !== ' '))
  return all.flatMap(({ sign, line }, at) =>
    near[at] === true ? [...(at > 0 && near[at - 1] !== true ? ['  ...'] : []), `${sign} ${shown(line)}`] : [],
  )
}

/**
 * Which of two sides that differ is the newer one: the one that holds a volume of the VM, because the VM runs there, or
 * ran there last. `unknown`: neither holds one, or nobody can say.
 */
export function newerSide({ volumes }: Status, vm: string, host: string): 'here' | 'there' | 'unknown' {
  const holders = volumes.filter(({ vms }) => vms.includes(vm)).flatMap((volume) => volume.holders)
  const [here, there] = [
    holders.some((each) => each.here && each.mode === 'exclusive'),
    holders.some((each) => !each.here && each.host === host && each.mode === 'exclusive'),
  ]
  return here === there ? 'unknown' : here ? 'here' : 'there'
}
