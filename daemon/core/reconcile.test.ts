import { beforeEach, expect, test, vi } from 'vitest'
import { Locks } from '../lib/async/locks.ts'
import type { Operation, State, Vm } from '../store/index.ts'
import { emptyState } from '../store/schema/state.ts'
import { type Box, stateOf } from './box.ts'
import { EventLog } from './events.ts'
import type { DomainEvent, DomainInfo } from './interfaces/hypervisor.ts'
import { Live } from './live.ts'
import { lockOf } from './operation/engine.ts'
import { keepReconciled } from './reconcile.ts'
import { keepDozes } from './sleep/doze.ts'
import { UsageTracker } from './usage.ts'

const vm = {
  id: 'v1',
  uuid: 'u1',
  name: 'web',
  phase: 'ready',
  power: 'on',
  memory: null,
  dozing: false,
} as unknown as Vm

const appointment = { at: '2026-12-24T07:30:00.000Z', what: 'job.timer' }

let told = 0
beforeEach(() => {
  told = 0
})

/** A box with one awake VM, and a function that sends it events of the VM's domain. */
function boxWithOne() {
  let tell: (event: DomainEvent) => void = () => {}
  const store = {
    state: { ...emptyState('test'), vms: { v1: vm } } as State,
    async update(change: (state: State) => State) {
      store.state = change(store.state)
    },
  }
  /** Adapters that do nothing. */
  const quiet = new Proxy({}, { get: () => async () => [] })
  const hypervisor = {
    domains: async () => [],
    define: async () => {},
    watch(watcher: typeof tell) {
      tell = watcher
      return () => {}
    },
  }
  const guests = {
    async personalize() {
      told++
      return []
    },
  }
  const box = {
    ...{ store, hypervisor, live: new Live(), locks: new Locks(), events: new EventLog('run') },
    ...{ network: quiet, files: quiet, imageFiles: quiet, guests, autostart: { has: () => false } },
    usage: new UsageTracker(() => true),
    log: { error: console.error, warn: console.warn },
  } as unknown as Box
  const { first, stop } = keepReconciled(box, 'boot')
  tell({ type: 'started', uuid: 'u1', reason: 'booted' })
  return { box, tell, first, stop, power: () => store.state.vms.v1!.power }
}

const shutDown = { type: 'stopped', uuid: 'u1', how: 'shutdown', reason: 'shutdown' } as const

test('a guest that shuts itself down while an operation works on its VM stays off', async () => {
  const { box, tell, stop, power } = boxWithOne()
  await box.locks.run('v1', async () => tell(shutDown))
  await box.locks.run('v1', async () => {})
  expect(power()).toBe('off')
  stop()
})

test('a guest that was asked to shut down, as the box goes down, is started again', async () => {
  const { box, tell, stop, power } = boxWithOne()
  await box.locks.run('v1', async () => {
    box.live.mark('u1', { stopping: true })
    tell(shutDown)
  })
  await box.locks.run('v1', async () => {})
  expect(power()).toBe('on')
  stop()
})

test('a guest that was started again meanwhile stays on', async () => {
  const { box, tell, stop, power } = boxWithOne()
  await box.locks.run('v1', async () => {
    tell(shutDown)
    tell({ type: 'started', uuid: 'u1', reason: 'booted' })
  })
  await box.locks.run('v1', async () => {})
  expect(power()).toBe('on')
  stop()
})

/**
 * Starts a daemon that finds the VM noted as dozing with an appointment, and its domain in this state.
 * @returns `now`, which gives the VM's state and whether that note is still there
 */
async function startWith(domain: Pick<DomainInfo, 'state' | 'agent'>) {
  const { box, tell, first, stop } = boxWithOne()
  box.live.forget('u1')
  Object.assign(box.hypervisor, { domains: async () => [{ uuid: 'u1', reason: 'user', ...domain }] })
  await box.store.update((state) => ({ ...state, vms: { v1: { ...vm, dozing: true, appointment } } }))
  const undoze = keepDozes(box)
  tell({ type: 'connected' })
  await first
  return {
    tell,
    now() {
      const { dozing, appointment } = box.store.state.vms.v1!
      expect(appointment !== null).toBe(dozing)
      return [stateOf(box, box.store.state.vms.v1!), dozing]
    },
    end() {
      stop()
      undoze()
    },
  }
}

test('a VM that dozes still does after a restart of the daemon; resumed by hand, it is told what it may have missed', async () => {
  const { now, tell, end } = await startWith({ state: 'paused', agent: true })
  expect([...now(), told]).toEqual(['dozing', true, 0])
  tell({ type: 'resumed', uuid: 'u1', reason: 'unpaused' })
  await vi.waitFor(() => expect([...now(), told]).toEqual(['awake', false, 1]))
  end()
})

test('so is one that was cut off before the suspend or after the resume', async () => {
  const { now, end } = await startWith({ state: 'running', agent: true })
  await vi.waitFor(() => expect(now()).toEqual(['awake', false]))
  expect(told).toBe(1)
  end()
})

test('one whose QEMU has ended is stopped', async () => {
  const { now, end } = await startWith({ state: 'off', agent: false })
  expect(now()).toEqual(['stopped', false])
  end()
})

test('reconciling does not wait for a build that is under way', async () => {
  const { box, tell, first, stop } = boxWithOne()
  const build = { id: 'op_1', kind: 'image-build', startedAt: '2026-01-01T00:00:00Z', image: 'img_1', name: 'debian' }
  await box.store.update((state) => ({ ...state, operations: { op_1: build } }) as State)
  const built = Promise.withResolvers<void>()
  const building = box.locks.run(lockOf(build as Operation), () => built.promise)
  await box.store.update((state) => ({ ...state, vms: {} }))
  tell({ type: 'connected' })
  await first
  built.resolve()
  await building
  stop()
})
