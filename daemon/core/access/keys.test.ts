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

test('a VM is entered by keys for all, for it, and for a tag that it has now', () => {
  expect(names(keysOf(state, web))).toEqual(['ada', 'deploy', 'company'])
  expect(names(keysOf(state, build))).toEqual(['ada', 'runner', 'company'])
  expect(names(keysOf(state, { ...build, tags: [] }))).toEqual(['ada', 'company'])
  expect(names(keysOf(state, { id: 'v3', tags: ['shop', 'ci'] }))).toEqual(['ada', 'runner', 'company'])
})

test('a key is a line for sshd, that of a CA one for what is signed with it', () => {
  expect(keysOf(state, web).map(authorizedLine)).toEqual([
    'ssh-ed25519 ada ada',
    'ssh-ed25519 deploy deploy',
    'cert-authority ssh-ed25519 company company',
  ])
})

test('one that is there with the same limits stays as it is', () => {
  for (const [name, addition] of some) expect(added(state, name, addition).keys).toEqual(state.keys)
  expect(added(state, 'ada', { name: 'laptop' }).keys).toEqual(state.keys)
})

test.each([
  ['ada', { vm: 'web' }, 'ada is there already, as a key for all VMs.'],
  ['deploy', {}, 'deploy is there already, as a key for web alone.'],
  ['deploy', { vm: 'build' }, 'deploy is there already, as a key for web alone.'],
  ['runner', { tag: 'shop' }, 'runner is there already, as a key for VMs with the tag ci alone.'],
  ['company', {}, 'company is there already, as an authority for all VMs.'],
  ['ada', { authority: true }, 'ada is there already, as a key for all VMs.'],
])('%s is not added again with %j', (name, addition, message) => {
  expect(() => added(state, name, addition)).toThrow(
    expect.objectContaining({ code: 'conflict', message, hint: expect.stringContaining(`croft key rm ${name}`) }),
  )
})

test('a name that was asked for is refused when a key has it, one from a comment gets a number', () => {
  expect(() => added(state, 'new', { name: 'ada' })).toThrow(expect.objectContaining({ code: 'conflict' }))
  const more = withKeys(
    state,
    [read('ada', 'b'), read('ada', 'c'), read('a'.repeat(64), 'd'), read('a'.repeat(64), 'e')],
    {},
  )
  expect(names(Object.values(more.keys)).slice(4)).toEqual(['ada-2', 'ada-3', 'a'.repeat(64), `${'a'.repeat(56)}-2`])
})

test('a limit is to a VM that there is', () => {
  expect(() => added(empty, 'ada', { vm: 'wbe' })).toThrow(expect.objectContaining({ code: 'not-found' }))
})

test('it is found by name or fingerprint', () => {
  expect(findKey(state, 'SHA256:deploy').name).toBe('deploy')
  expect(findKey(state, 'runner').tag).toBe('ci')
  for (const name of ['constructor', '__proto__', ''])
    expect(() => findKey(state, name)).toThrow(expect.objectContaining({ code: 'not-found' }))
})
