import { expect, test } from 'vitest'
import { commands } from '../../commands/index.ts'
import { openApi } from './openapi.ts'

/** Collects the descriptions of each property in the results of all commands, by name. */
function descriptions(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    const { properties = {} } = value as { properties?: Record<string, { description?: string; anyOf?: object[] }> }
    for (const [name, { anyOf, description }] of Object.entries(properties)) {
      const { description: says = '' } = { description, ...anyOf?.[0] }
      found.set(name, new Set([...(found.get(name) ?? []), says]))
    }
    for (const each of Object.values(value)) walk(each)
  }
  const { paths } = openApi(commands, 'test') as { paths: Record<string, { post?: { responses: unknown } }> }
  for (const { post } of Object.values(paths)) walk(post?.responses)
  return found
}

test.each(['address', 'web', 'memoryBytes', 'diskBytes', 'memoryTotalBytes', 'diskTotalBytes', 'savedMemoryBytes'])(
  '%s means one thing in all results, and the document describes it',
  (name) => expect([...descriptions().get(name)!]).toEqual([expect.stringMatching(/./)]),
)

test('show has the same usage of a VM as ls, and the document says since which version', () => {
  const result = (name: string) => {
    const schema = commands.find((each) => each.name === name)!.result
    return JSON.stringify(schema.toJSONSchema({ io: 'output' }))
  }
  for (const name of ['cpuPercent', 'memoryBytes', 'diskBytes']) expect(result('show')).toContain(`"${name}"`)
  expect(JSON.stringify(openApi(commands, 'test'))).toContain('memoryTotalBytes (was memoryBytes)')
})
