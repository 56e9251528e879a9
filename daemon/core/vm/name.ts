import { randomInt } from 'node:crypto'
import { CroftError } from '../../lib/error.ts'
import { inventWith } from './invent-name.ts'

const reserved = new Set(['croft', 'www', 'box', 'localhost', 'api', 'admin', 'root', 'lobby', 'console', 'mail', 'ns'])
const grammar = /^[a-z][a-z0-9-]{0,39}$/

/**
 * Checks a VM name. It becomes a host name, so: 1 to 40 of a-z, 0-9 and `-`, a letter first, no `--`,
 * and not ending in `-` or in `-<digits>` (`<vm>-<port>` is the address of a port).
 * @param argument the command's argument that holds the name
 * @throws CroftError `bad-name` with the rule that is broken, and a name that is allowed
 */
export function checkVmName(name: string, argument = 'name'): string {
  const why = !grammar.test(name)
    ? 'it must be 1 to 40 of a-z, 0-9 and "-", and begin with a letter'
    : name.includes('--')
      ? 'it must not contain "--"'
      : name.endsWith('-')
        ? 'it must not end in "-"'
        : /-[0-9]+$/.test(name)
          ? 'an ending like "-8080" addresses a port of a VM'
          : reserved.has(name)
            ? 'that word is reserved'
            : undefined
  if (why === undefined) return name
  const better = suggestName(name)
  throw new CroftError('bad-name', `${JSON.stringify(name.slice(0, 60))} can't be the name of a VM: ${why}.`, {
    hint: better ? `For example: ${better}` : 'For example: quiet-otter',
    argument,
  })
}

function suggestName(name: string): string | undefined {
  const better = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 40)
    .replace(/(-[0-9]*)+$/, '')
  return grammar.test(better) && !reserved.has(better) ? better : undefined
}

/** Invents a name of two words that is not `taken`; see `inventWith`. */
export const inventName = (taken: (name: string) => boolean, pick: (below: number) => number = randomInt): string =>
  inventWith(taken, pick)

/**
 * Returns the known word closest to a mistyped one, if any is close enough: at most a third of its letters differ, but
 * one of 2 may, and never more than 3.
 */
export function closest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = (word.length < 2 ? 0 : Math.min(3, Math.max(1, Math.floor(word.length / 3)))) + 1
  for (const candidate of known) {
    const distance = editDistance(word, candidate)
    if (distance < least) [best, least] = [candidate, distance]
  }
  return best
}

/** Damerau-Levenshtein distance, restricted to adjacent transpositions ("optimal string alignment"). */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1)
      row.push(cost)
    }
    before = previous
    previous = row
  }
  return previous[b.length]!
}
