import { expect, test } from 'vitest'
import type { State, Vm } from '../store/index.ts'
import { emptyState } from '../store/schema.ts'
import { makeReady } from './boot.ts'
import type { Box } from './box.ts'
import { Locks } from './sync.ts'

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
])('a guest whose keys change while it is told of them is told of that too: %s', async (_, after, times) => {
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
      mark() {
        ready = true
      },
    },
  } as unknown as Box
  await makeReady(box, vm, true)
  expect({ told, ready }).toEqual({ told: times, ready: true })
})
