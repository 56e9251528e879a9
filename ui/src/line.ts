import { signal } from '@preact/signals'
import { formatCommandLine, type Syntax } from '../../daemon/lib/text/command-line.ts'
import type { Args } from './api.ts'

interface Operation {
  'x-positional': string[]
  'x-rest'?: string
  requestBody: {
    content: { 'application/json': { schema: { properties?: Record<string, { file?: boolean; literal?: string }> } } }
  }
}

const spellings = signal<ReadonlyMap<string, Syntax> | undefined>(undefined)

/** Loads the syntax of all commands. */
export async function learnSpellings(): Promise<void> {
  const answer = await fetch('/api/openapi.json').catch(() => undefined)
  if (!answer?.ok) return
  const { paths } = (await answer.json()) as { paths: Record<string, { post?: Operation }> }
  const known = new Map<string, Syntax>()
  for (const [path, { post }] of Object.entries(paths)) {
    if (!path.startsWith('/api/commands/') || !post) continue
    const properties = post.requestBody.content['application/json'].schema.properties ?? {}
    known.set(path.slice('/api/commands/'.length), {
      positional: post['x-positional'],
      rest: post['x-rest'],
      files: Object.entries(properties).flatMap(([key, { file, literal }]) => (file ? { key, literal } : [])),
    })
  }
  spellings.value = known
}

/** Returns the command line that does the same, to show and copy. Empty until the command's syntax is loaded. */
export function lineOf(name: string, args: Args): string {
  const spelling = spellings.value?.get(name.replaceAll(' ', '-'))
  return spelling ? formatCommandLine(name, args, spelling) : ''
}
