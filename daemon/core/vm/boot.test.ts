import { expect, test } from 'vitest'
import { Locks } from '../../lib/async/locks.ts'
import type { State, Vm } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import type { Box } from '../box.ts'
import { Live } from '../live.ts'
import { awaitAgent, makeReady } from './boot.ts'

const vm = { id: 'v1', uuid: 'u1', name: 'web', tags: ['ci'] } as unknown as Vm
const key = (name: string, tag: string | null) => ({ name, publicKey: 'ssh-ed25519 A', vm: null, tag })
const withKeys = (...keys: ReturnType<typeof key>[]) =>
  ({
    ...emptyState('test'),
    vms: { v1: vm },
    keys: Object.fromEntries(keys.map((each) => [each.name, each])),
  }) as unknown as State

test.each([
  ['its own go', withKeys(key('all', null)), 2],
  ['its tag goes', { ...withKeys(key('all', null), key('runner', 'ci')), vms: { v1: { ...vm, tags: [] } } }, 2],
  ['those of others come', withKeys(key('all', null), key('runner', 'ci'), key('other', 'prod')), 1],
  ['it goes itself', { ...withKeys(), vms: {} }, 1],
])('a guest whose keys change while it is being told them is told again: %s', async (_, after, times) => {
  const store = { state: withKeys(key('all', null), key('runner', 'ci')) }
  let told = 0
  let ready = false
  const box = {
    store,
    locks: new Locks(),
    guests: {
      async personalize() {
        told++
        store.state = after
        return []
      },
    },
    live: {
      get: () => undefined,
      mark() {
        ready = true
      },
    },
  } as unknown as Box
  await makeReady(box, vm, true)
  expect({ told, ready }).toEqual({ told: times, ready: true })
})

/** A box whose one guest has been started. */
function startedBox(personalize: () => Promise<string[]>) {
  const live = new Live()
  live.apply({ type: 'started', uuid: 'u1', reason: 'booted' })
  const guests = { personalize, consoleTail: async () => 'Kernel panic' }
  const box = { store: { state: withKeys() }, locks: new Locks(), guests, live } as unknown as Box
  return { box, live }
}

test('a guest that crashes while it is told who it is fails with its last console lines', async () => {
  const { box, live } = startedBox(async () => {
    setTimeout(() => live.apply({ type: 'stopped', uuid: 'u1', how: 'crashed', reason: 'panicked' }), 10)
    throw new Error('Guest agent disappeared while executing command')
  })
  await expect(makeReady(box, vm, true)).rejects.toMatchObject({
    code: 'guest-failed',
    message: 'web ended while starting. Its console ends with:\nKernel panic',
    hint: 'To see more of its console: croft logs web',
  })
})

test('nothing waits for a guest that reboots in a loop', async () => {
  const { box, live } = startedBox(async () => [])
  const waiting = awaitAgent(box, vm, 60_000)
  for (let i = 0; i < 3; i++) live.apply({ type: 'rebooted', uuid: 'u1' })
  await expect(waiting).rejects.toMatchObject({
    message: 'web rebooted 3 times while starting. Its console ends with:\nKernel panic',
  })
})
