/**
 * A program that copies a migration stream from standard input to standard output through a filter (stream-filter.ts),
 * and prints a summary to standard error as a line of JSON. It is a process of its own because a VM's memory may have
 * many gigabytes. It can be killed at any time; whatever it was writing is then useless.
 *
 *   node filter-stream.ts zero-pages
 *   node filter-stream.ts difference|merge BASE      BASE: the file of a memory base
 *   node filter-stream.ts extract BASE               BASE: a path for the new base
 */
import { openSync, readSync, writeSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { BaseReader, BaseWriter } from './base-file.ts'
import { differenceFrom, extractTo, filterStream, mergedWith, type PagePolicy, zeroPages } from './stream-filter.ts'

let made: BaseWriter | undefined

function policyOf([name, path = '']: readonly string[]): PagePolicy {
  switch (name) {
    case 'zero-pages':
      return zeroPages
    case 'difference':
      return differenceFrom(new BaseReader(openSync(path, 'r')))
    case 'merge':
      return mergedWith(new BaseReader(openSync(path, 'r')))
    case 'extract': {
      const fd = openSync(path, 'wx+', 0o600)
      return extractTo((bytes) => {
        made = new BaseWriter(fd, bytes)
        return made
      })
    }
    default:
      throw new RangeError(`there is no policy ${name}`)
  }
}

const buffer = Buffer.allocUnsafe(2 ** 20)

const summary = filterStream(
  () => {
    const bytes = readSync(0, buffer)
    return bytes ? buffer.subarray(0, bytes) : undefined
  },
  (part) => {
    for (let at = 0; at < part.length; ) at += writeSync(1, part, at)
  },
  policyOf(process.argv.slice(2)),
)
made?.finish()
writeSync(2, `${JSON.stringify(summary)}\n`)
flushCompileCache()
