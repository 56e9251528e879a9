import { mkdir, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { type Figure, figureTable, median } from './figures.ts'
import { forkFigures } from './fork.ts'
import { thousandFigures } from './thousand.ts'

/** Measures, prints a table, and leaves the same as JSON in dist/bench.json. Words choose: boot, thousand. */
const parts: Record<string, () => Promise<Figure[]>> = { thousand: thousandFigures, fork: forkFigures }
const chosen = process.argv.slice(2).length ? process.argv.slice(2) : Object.keys(parts)

const figures: Figure[] = []
for (const name of chosen) {
  const part = parts[name]
  if (!part) throw new Error(`There is no benchmark ${name}. There are: ${Object.keys(parts).join(', ')}`)
  figures.push(...(await part()))
}
console.log(`${cpus().length} CPUs, ${cpus()[0]?.model}; emulated guests (TCG)\n`)
console.log(figureTable(figures))
const ours = figures.find((figure) => figure.what.startsWith('`croft new`'))
const theirs = figures.find((figure) => figure.what.startsWith('`virt-install'))
if (ours && theirs)
  console.log(
    `\ncroft new takes ${(median(ours.values) / median(theirs.values)).toFixed(2)} times as long as virt-install --import.`,
  )
await mkdir('dist', { recursive: true })
await writeFile('dist/bench.json', JSON.stringify(figures, null, 2))
