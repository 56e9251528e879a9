import { expect, test } from 'vitest'
import type { Key, State } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import { type Addition, authorizedLine, findKey, keysOf, withKeys } from './keys.ts'

const web = { id: 'v1', name: 'web', tags: ['shop'], phase: 'ready' }
const build = { id: 'v2', name: 'build', tags: ['ci'], phase: 'ready' }
const empty = { ...emptyState('test'), vms: { v1: web, v2: build } } as unknown as State

const read = (name: string, of = name) => ({ fingerprint: `SHA256:${of}`, name, publicKey: `ssh-ed25519 ${of}` })
const added = (state: State, name: string, addition: Addition = {}) => withKeys(state, [read(name)], addition)
const names = (keys: Iterable<Key>) => Array.from(keys, ({ name }) => name)

const some = [
  ['ada', {}],
  ['deploy', { vm: 'web' }],
  ['runner', { tag: 'ci' }],
  ['company', { authority: true }],
] as const
const state = some.reduce((before, [name, addition]) => added(before, name, addition), empty)

test('a VM can be entered with keys for all VMs, for it, and for a tag that it has now', () => {
  expect(names(keysOf(state, web))).toEqual(['ada', 'deploy', 'company'])
  expect(names(keysOf(state, build))).toEqual(['ada', 'runner', 'company'])
  expect(names(keysOf(state, { ...build, tags: [] }))).toEqual(['ada', 'company'])
  expect(names(keysOf(state, { id: 'v3', tags: ['shop', 'ci'] }))).toEqual(['ada', 'runner', 'company'])
})

test('a key becomes a line of authorized_keys, a CA’s one with cert-authority', () => {
  expect(keysOf(state, web).map(authorizedLine)).toEqual([
    'ssh-ed25519 ada ada',
    'ssh-ed25519 deploy deploy',
    'cert-authority ssh-ed25519 company company',
  ])
})

test('an existing key with the same limits stays as it is', () => {
  for (const [name, addition] of some) expect(added(state, name, addition).keys).toEqual(state.keys)
  expect(added(state, 'ada', { name: 'laptop' }).keys).toEqual(state.keys)
})

test.each([
  ['ada', { vm: 'web' }, 'ada exists already, as a key for all VMs.'],
  ['deploy', {}, 'deploy exists already, as a key for web only.'],
  ['deploy', { vm: 'build' }, 'deploy exists already, as a key for web only.'],
  ['runner', { tag: 'shop' }, 'runner exists already, as a key for VMs tagged "ci" only.'],
  ['company', {}, 'company exists already, as an authority for all VMs.'],
  ['ada', { authority: true }, 'ada exists already, as a key for all VMs.'],
])('%s is not added again with %j', (name, addition, message) => {
  expect(() => added(state, name, addition)).toThrow(
    expect.objectContaining({ code: 'conflict', message, hint: expect.stringContaining(`croft key rm ${name}`) }),
  )
})

test('a requested name that is taken is refused; one from a comment gets a number', () => {
  expect(() => added(state, 'new', { name: 'ada' })).toThrow(expect.objectContaining({ code: 'conflict' }))
  const more = withKeys(
    state,
    [read('ada', 'b'), read('ada', 'c'), read('a'.repeat(64), 'd'), read('a'.repeat(64), 'e')],
    {},
  )
  expect(names(Object.values(more.keys)).slice(4)).toEqual(['ada-2', 'ada-3', 'a'.repeat(64), `${'a'.repeat(56)}-2`])
})

test('a key can only be limited to an existing VM', () => {
  expect(() => added(empty, 'ada', { vm: 'wbe' })).toThrow(expect.objectContaining({ code: 'not-found' }))
})

test('a key is found by name or fingerprint', () => {
  expect(findKey(state, 'SHA256:deploy').name).toBe('deploy')
  expect(findKey(state, 'runner').tag).toBe('ci')
  for (const name of ['constructor', '__proto__', ''])
    expect(() => findKey(state, name)).toThrow(expect.objectContaining({ code: 'not-found' }))
})
