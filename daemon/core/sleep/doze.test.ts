import { expect, test } from 'vitest'
import { Locks } from '../../lib/async/locks.ts'
import type { State, Vm } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import { type Box, stateOf } from '../box.ts'
import { EventLog } from '../events.ts'
import { Live } from '../live.ts'
import { UsageTracker } from '../usage.ts'
import { makeReady } from '../vm/boot.ts'
import { parseSubnet } from '../vm/identity.ts'
import { doze, keepDozes, whileRunning } from './doze.ts'
import { putToSleep } from './sleep.ts'
import { isFallingAsleep } from './sleep-aborts.ts'
import { ensureAwake } from './wake.ts'

const uuid = 'u1'
const dueAt = Math.ceil(Date.now() / 1000) * 1000 + 3_600_000
const appointment = { at: new Date(dueAt).toISOString(), what: 'an at job of root' }

/** A box with one awake VM, whose domain does what it is told. */
function boxWithOne() {
  const vm = {
    ...{ id: 'v1', uuid, name: 'web', ip: '10.77.0.5', phase: 'ready', memory: null, dozing: false },
    ...{ appointment: null, keepsAppointments: true },
  } as unknown as Vm
  const live = new Live()
  live.apply({ type: 'started', uuid, reason: 'booted' })
  live.apply({ type: 'agent', uuid, connected: true })
  live.mark(uuid, { ready: true })
  const store = {
    state: { ...emptyState('test'), vms: { v1: vm } } as State,
    async update(change: (state: State) => State) {
      store.state = change(store.state)
    },
  }
  const did: string[] = []
  const hypervisor = {
    async pause() {
      did.push(store.state.vms.v1!.dozing ? 'pause, noted' : 'pause')
      live.apply({ type: 'paused', uuid, reason: 'paused' })
    },
    async resume() {
      did.push('resume')
      live.apply({ type: 'resumed', uuid, reason: 'unpaused' })
    },
  }
  const personalize = async () => {
    did.push('tell')
    return []
  }
  const asked: string[] = []
  const guests = {
    personalize,
    /** Says what is due in it, an hour after now. */
    async script(_: string, script: string) {
      asked.push(script)
      return { stdout: `@@ at\n1\t${dueAt / 1000} a root\n` }
    },
  }
  const box = {
    ...{ store, live, hypervisor, locks: new Locks(), events: new EventLog('run') },
    ...{ usage: new UsageTracker(() => true), guests, autostart: { want: () => undefined } },
    ...{ settings: { bootTimeoutMs: 1000, subnet: parseSubnet('10.77.0.0/16') }, log: { warn: () => {} } },
  } as unknown as Box
  keepDozes(box)
  const now = () => store.state.vms.v1!
  return { box, did, now, state: () => stateOf(box, now()), hypervisor, live, guests, asked }
}

test('a VM is noted before it is suspended, and goes on without being told anything', async () => {
  const { box, did, now, state } = boxWithOne()
  await doze(box, 'web')
  await doze(box, 'web')
  expect(state()).toBe('dozing')
  await Promise.all([ensureAwake(box, 'web'), ensureAwake(box, 'web')])
  expect([state(), now().dozing]).toEqual(['awake', false])
  expect(did).toEqual(['pause, noted', 'resume'])
})

test('a caller that needs a VM that is about to doze waits, and has it go on', async () => {
  const { box, did, now, state, hypervisor } = boxWithOne()
  const { pause } = hypervisor
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  hypervisor.pause = async () => {
    asked.resolve()
    await answer.promise
    await pause()
  }
  const dozing = doze(box, 'web')
  await asked.promise
  expect([state(), now().dozing]).toEqual(['awake', true])
  const needed = ensureAwake(box, 'web')
  answer.resolve()
  await Promise.all([dozing, needed])
  expect([state(), now().dozing]).toEqual(['awake', false])
  expect(did).toEqual(['pause, noted', 'resume'])
})

test('what has changed meanwhile is told before anybody can use the VM', async () => {
  const { box, did, now, state } = boxWithOne()
  await doze(box, 'web')
  await makeReady(box, now(), false)
  expect(did).toEqual(['pause, noted'])
  expect(state()).toBe('dozing')
  await ensureAwake(box, 'web')
  expect([state(), now().dozing]).toEqual(['awake', false])
  expect(did).toEqual(['pause, noted', 'resume', 'tell'])
})

test('a VM that could not be suspended is awake, and not noted', async () => {
  const { box, did, now, state, hypervisor } = boxWithOne()
  hypervisor.pause = async () => {
    throw new Error('no')
  }
  await expect(doze(box, 'web')).rejects.toThrow('no')
  expect([state(), now().dozing]).toEqual(['awake', false])
  expect(did).toEqual(['resume'])
})

test('a VM that somebody is in does not doze, nor one that is needed after all', async () => {
  const { box, did } = boxWithOne()
  await box.usage.during('v1', 'croft exec', async () =>
    expect(doze(box, 'web')).rejects.toMatchObject({
      code: 'conflict',
      message: "web can't doze now: it is in use (croft exec).",
    }),
  )
  await doze(box, 'web', () => false)
  expect(did).toEqual([])
})

test('a VM is asked what is due before it dozes, and forgets it when it goes on', async () => {
  const { box, now, state, asked } = boxWithOne()
  await doze(box, 'web')
  expect([state(), now().appointment, asked.length]).toEqual(['dozing', appointment, 1])
  await doze(box, 'web')
  await ensureAwake(box, 'web')
  expect([state(), now().appointment, asked.length]).toEqual(['awake', null, 1])
})

test('a VM with a reason to stay awake does not doze', async () => {
  const { box, now, state } = boxWithOne()
  const answers: unknown[] = []
  await doze(box, 'web', undefined, (_, answer) => answers.push(answer) > 0)
  expect([state(), now().appointment, answers]).toEqual(['awake', null, [expect.objectContaining({ appointment })]])
})

test('a VM that is needed while it is asked can be used at once, and does not doze', async () => {
  const { box, did, state, guests } = boxWithOne()
  const asked = Promise.withResolvers<void>()
  guests.script = () => {
    asked.resolve()
    return new Promise(() => {})
  }
  const dozing = doze(box, 'web')
  await asked.promise
  expect([isFallingAsleep(box, 'v1'), box.locks.isLocked('v1')]).toEqual([true, false])
  await ensureAwake(box, 'web')
  await expect(dozing).rejects.toMatchObject({ code: 'cancelled' })
  expect([did, state(), isFallingAsleep(box, 'v1')]).toEqual([[], 'awake', false])
})

test('a VM that goes to sleep from a doze is not asked again, nor goes on when what is due has it stay', async () => {
  const { box, did, now, state, asked } = boxWithOne()
  await doze(box, 'web')
  const answers: unknown[] = []
  const stays = (_: Vm, answer: unknown) => answers.push(answer) > 0
  await putToSleep(box, 'web', () => {}, undefined, { stays })
  expect([state(), now().appointment, answers]).toEqual([
    'dozing',
    appointment,
    [expect.objectContaining({ appointment })],
  ])
  // It goes on to be saved, which this box can't do.
  await expect(putToSleep(box, 'web', () => {})).rejects.toThrow()
  expect([did, asked.length, state(), now().appointment]).toEqual([['pause, noted', 'resume'], 1, 'awake', null])
})

test('a VM that is needed for a moment dozes again with its appointment, unless somebody uses it meanwhile', async () => {
  const { box, did, now, state, asked } = boxWithOne()
  await doze(box, 'web')
  await whileRunning(box, now(), async () => expect([state(), now().appointment]).toEqual(['awake', null]))
  expect([state(), now().appointment, asked.length]).toEqual(['dozing', appointment, 1])
  await whileRunning(box, now(), async () => void (await ensureAwake(box, 'web')))
  expect(state()).toBe('awake')
  await whileRunning(box, now(), async () => {})
  expect(did).toEqual(['pause, noted', 'resume', 'pause, noted', 'resume'])
})

test('the note goes when somebody resumes the VM by hand, which counts as use, and when its QEMU ends', async () => {
  const { box, now, state, live } = boxWithOne()
  await doze(box, 'web')
  live.apply({ type: 'resumed', uuid, reason: 'unpaused' })
  expect([state(), now().dozing, box.usage.of('v1')?.why]).toEqual(['awake', false, 'it went on'])
  await doze(box, 'web')
  live.apply({ type: 'stopped', uuid, how: 'crashed', reason: 'failed' })
  expect([state(), now().dozing, now().appointment]).toEqual(['crashed', false, null])
})
