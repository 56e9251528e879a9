import { mkdir, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { asleepFigures } from './asleep.ts'
import { ceilingFigures } from './ceiling.ts'
import { consoleFigures } from './console.ts'
import { copyFigures } from './copies.ts'
import { densityFigures, plainDensityFigures } from './density.ts'
import { type Figure, figureTable, median } from './figures.ts'
import { forkFigures } from './fork.ts'
import { layerFigures } from './layers.ts'
import { memoryFigures } from './memory.ts'
import { mixedFigures } from './mixed.ts'
import { neighbourFigures } from './neighbours.ts'
import { soakFigures } from './soak.ts'
import { speedFigures } from './speed.ts'
import { sshFigures } from './ssh.ts'
import { stepFigures } from './steps.ts'
import { thousandFigures } from './thousand.ts'
import { reachFigures, webFigures } from './web.ts'

/** Measures, prints a table, and writes it as JSON to dist/bench.json. Words choose parts. */
const parts: Record<string, () => Promise<Figure[]>> = {
  thousand: thousandFigures,
  fork: forkFigures,
  copies: copyFigures,
  ceiling: ceilingFigures,
  asleep: asleepFigures,
  layers: layerFigures,
  steps: stepFigures,
  web: webFigures,
  reach: reachFigures,
  console: consoleFigures,
  ssh: sshFigures,
  density: () => densityFigures(false),
  'density-ksm': () => densityFigures(true),
  'density-plain': plainDensityFigures,
  mixed: mixedFigures,
  speed: speedFigures,
  neighbours: neighbourFigures,
  memory: memoryFigures,
  soak: soakFigures,
}
/** Pairs of figures to compare, by the medians of one run. */
const ratios = [
  ['SSH through the gateway → first output', 'SSH direct → first output'],
  ['MB from the VM by SSH through the gateway', 'MB from the VM by SSH direct'],
  ['`croft new` → usable', 'floor → usable'],
  ['`croft new` with a spare → usable', 'floor → usable'],
  ['`croft new --cold` → first SSH command', '`croft new` → first SSH command'],
  ['`croft new --cold` → first SSH command', '`croft new` with a spare → first SSH command'],
  ['`virt-install --import` → first SSH command', '`croft new` with a spare → first SSH command'],
  ['a VM that has done nothing, compressed: `wake` → usable', 'a VM that has done nothing, as saved: `wake` → usable'],
  ['a VM that has worked, compressed: `wake` → usable', 'a VM that has worked, as saved: `wake` → usable'],
  ['`wake` → first SSH command', 'floor → first SSH command'],
  ['mapped: copies 64 MB, 20 times', 'copied: copies 64 MB, 20 times'],
  ['mapped: reads files in memory', 'copied: reads files in memory'],
  ['16G: `new` → usable', '1G: `new` → usable'],
  ['16G: `cp` → usable', '1G: `cp` → usable'],
  ['16G: `sleep`', '1G: `sleep`'],
  ['16G: `wake` → usable', '1G: `wake` → usable'],
  ['16G: memory of an idle fork (PSS)', '1G: memory of an idle fork (PSS)'],
  ['16G: memory of the copy (PSS)', '1G: memory of the copy (PSS)'],
]
const chosen = process.argv.slice(2).length ? process.argv.slice(2) : Object.keys(parts)

const figures: Figure[] = []
for (const name of chosen) {
  const part = parts[name]
  if (!part) throw new Error(`There is no benchmark ${name}. There are: ${Object.keys(parts).join(', ')}`)
  figures.push(...(await part()))
}
console.log(`${cpus().length} CPUs, ${cpus()[0]?.model}; emulated guests (TCG)\n`)
console.log(figureTable(figures))
for (const [one, other] of ratios) {
  const [a, b] = [one, other].map((what) => figures.find((figure) => figure.what === what)?.values)
  if (a && b) console.log(`${one}: ${(median(a) / median(b)).toFixed(2)} times ${other}`)
}
await mkdir('dist', { recursive: true })
await writeFile('dist/bench.json', JSON.stringify(figures, null, 2))
