// Prints a checksum of everything that a program of the app consists of: node parts.mjs PROGRAM [FILE…]
//
// That is its source with all that it imports, packages by their package.json, and the other files. If the checksum is
// the same, so is the program.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

const [program, ...files] = process.argv.slice(2)
const parts = new Set([program, ...files])
for (const part of parts) {
  if (!part.endsWith('.ts')) continue
  for (const [, from] of (await readFile(part, 'utf8')).matchAll(
    /^(?:(?:import|export) .* from|\} from|import) '([^'\n]+)'$/gm,
  )) {
    if (from.startsWith('.')) parts.add(resolve(dirname(part), from))
    else if (!from.startsWith('node:')) parts.add(resolve(import.meta.dirname, '../node_modules', from, 'package.json'))
  }
}
const sum = createHash('sha256')
for (const part of [...parts].sort()) sum.update(await readFile(part))
console.log(sum.digest('hex'))
