import { signal } from '@preact/signals'
import { flagOf, quote } from '../../daemon/spelling.ts'
import type { Args } from './api.ts'

/** How a command is written on a command line, as its part of `/api/openapi.json` says. */
export interface Spelling {
  positional: readonly string[]
  rest: string | undefined
  /** Arguments whose content comes from a file there. */
  files: readonly string[]
}

interface Operation {
  'x-positional': string[]
  'x-rest'?: string
  requestBody: { content: { 'application/json': { schema: { properties?: Record<string, { file?: boolean }> } } } }
}

const spellings = signal<ReadonlyMap<string, Spelling> | undefined>(undefined)

/** Learns how all commands are written. */
export async function learnSpellings(): Promise<void> {
  const answer = await fetch('/api/openapi.json').catch(() => undefined)
  if (!answer?.ok) return
  const { paths } = (await answer.json()) as { paths: Record<string, { post?: Operation }> }
  const known = new Map<string, Spelling>()
  for (const [path, { post }] of Object.entries(paths)) {
    if (!path.startsWith('/api/commands/') || !post) continue
    const properties = post.requestBody.content['application/json'].schema.properties ?? {}
    known.set(path.slice('/api/commands/'.length), {
      positional: post['x-positional'],
      rest: post['x-rest'],
      files: Object.keys(properties).filter((key) => properties[key]!.file),
    })
  }
  spellings.value = known
}

/** The command line that does the same, to be shown and copied. Empty until it is known how the command is written. */
export function lineOf(name: string, args: Args): string {
  const spelling = spellings.value?.get(name.replaceAll(' ', '-'))
  return spelling ? write(name, args, spelling) : ''
}

/** Pure. */
export function write(name: string, args: Args, { positional, rest, files }: Spelling): string {
  const given = Object.entries(args).filter(([, value]) => value !== undefined && value !== false && value !== '')
  const words = positional.flatMap((key) =>
    files.includes(key) && args[key] ? ['file'] : args[key] === '' ? [''] : listOf(args[key]),
  )
  const flags = given
    .filter(([key]) => !positional.includes(key) && key !== rest)
    .flatMap(([key, value]) => {
      const flag = flagOf(key)
      if (value === true) return [flag]
      if (files.includes(key)) return [flag, 'file']
      return listOf(value).flatMap((each) => [flag, each])
    })
  const last = rest === undefined ? [] : listOf(args[rest])
  return ['croft', ...name.split(' '), ...words, ...flags, ...last].map(quote).join(' ')
}

const listOf = (value: unknown): string[] =>
  value === undefined || value === '' ? [] : Array.isArray(value) ? value.map(String) : [String(value)]
