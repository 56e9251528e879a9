import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Locks } from '../../lib/async/locks.ts'
import { CroftError } from '../../lib/error.ts'
import type { State, Vm } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import type { Box } from '../box.ts'
import { Live } from '../live.ts'
import { keepDozes } from '../sleep/doze.ts'
import { UsageTracker } from '../usage.ts'
import { keepAppointments } from './alarms.ts'

const began = Date.parse('2026-11-30T12:00:00Z')
beforeEach(() => void vi.useFakeTimers({ now: began }))
afterEach(() => void vi.useRealTimers())

const noRoom = new Error('no room')

/**
 * A box with VMs that are asleep or, if their names begin with z, doze, each with something due after so many seconds.
 * Waking one takes a second, and having one go on no time.
 */
function boxOf(dueS: Record<string, number>, { refuses = 0, priority = {} as Record<string, string> } = {}) {
  const dozes = (id: string) => id.startsWith('z')
  const vms = Object.entries(dueS).map(([id, seconds]) => ({
    ...{ id, uuid: id, name: id, phase: 'ready', power: 'on', priority: priority[id] ?? 'normal' },
    ...{ memory: dozes(id) ? null : 'mem', dozing: dozes(id) },
    appointment: { at: new Date(began + seconds * 1000).toISOString(), what: `${id}.timer` },
  }))
  let state = { ...emptyState('test'), vms: Object.fromEntries(vms.map((vm) => [vm.id, vm])) } as unknown as State
  const live = new Live()
  for (const { id } of vms.filter(({ id }) => dozes(id))) {
    live.apply({ type: 'started', uuid: id, reason: 'booted' })
    live.mark(id, { ready: true })
    live.apply({ type: 'paused', uuid: id, reason: 'paused' })
  }
  const woken: [string, number][] = []
  const warnings: string[] = []
  const notes: string[] = []
  const note = ({ what }: { what: string }) => void notes.push(what)
  const usage = new UsageTracker(() => true)
  const box = {
    store: {
      get state() {
        return state
      },
      async update(change: (state: State) => State) {
        state = change(state)
      },
      watch: () => () => {},
    },
    ...{ live, usage, locks: new Locks(), settings: { most: { cpus: 2 } }, autostart: { want: () => undefined } },
    activity: {
      async during(entry: { what: string }, work: Promise<unknown>) {
        note(entry)
        return work
      },
      note,
    },
    events: { publish: ({ message = '' }) => warnings.push(message) },
    hypervisor: {
      async resume(id: string) {
        begin(id)
        if (refuses-- > 0) throw new CroftError('unavailable', 'libvirt is away.')
        live.apply({ type: 'resumed', uuid: id, reason: 'unpaused' })
      },
    },
    governor: {
      async admit(id: string) {
        begin(id)
        await new Promise((resolve) => setTimeout(resolve, 1000))
        if (refuses-- > 0) throw noRoom
        live.apply({ type: 'started', uuid: id, reason: 'restored' })
        live.mark(id, { ready: true })
      },
    },
    log: { warn() {} },
  } as unknown as Box
  const begin = (id: string) => woken.push([id, Math.round((Date.now() - began) / 1000)])
  const undoze = keepDozes(box)
  const unkeep = keepAppointments(box, Promise.resolve())
  const stop = () => {
    unkeep()
    undoze()
  }
  const appointmentOf = (id: string): Vm['appointment'] => state.vms[id]!.appointment
  return { woken, warnings, notes, usage, live, stop, appointmentOf }
}

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000)

describe('a VM with an appointment', () => {
  test('is woken 15 s before it, once, forgets it, and is on an errand', async () => {
    const { woken, warnings, notes, usage, stop, appointmentOf } = boxOf({ a: 7200 })
    await pass(7180)
    expect(woken).toEqual([])
    await pass(600)
    stop()
    expect(woken).toEqual([['a', 7185]])
    expect([appointmentOf('a'), warnings, notes]).toEqual([null, [], ['woke it for a.timer']])
    expect([usage.of('a')?.why, usage.errandMs('a')]).toEqual(['woken for a.timer', Infinity])
  })

  test('that was due while the daemon was dead is woken at once, and told as late', async () => {
    const { woken, warnings, notes, stop } = boxOf({ a: -720 })
    await pass(5)
    stop()
    expect(woken).toEqual([['a', 0]])
    expect(notes).toEqual(['woke it for a.timer, 12 min late'])
    expect(warnings).toEqual([expect.stringMatching(/^a was woken 12 min late for a\.timer, which was due at /)])
  })

  test('follows the time of day when it is set ahead or back', async () => {
    const { woken, stop } = boxOf({ a: 7200, b: 20_000 })
    await pass(10)
    vi.setSystemTime(began + 7_190_000)
    await pass(2)
    expect(woken.map(([id]) => id)).toEqual(['a'])
    vi.setSystemTime(began)
    await pass(19_980)
    expect(woken.length).toBe(1)
    await pass(10)
    stop()
    expect(woken.map(([id]) => id)).toEqual(['a', 'b'])
  })

  test('forgets it when somebody else wakes it', async () => {
    const { woken, live, stop, appointmentOf } = boxOf({ a: 7200 })
    await pass(1)
    live.apply({ type: 'started', uuid: 'a', reason: 'restored' })
    live.mark('a', { ready: true })
    await pass(8000)
    stop()
    expect([woken, appointmentOf('a')]).toEqual([[], null])
  })

  test('that can not be woken is tried again, and told once', async () => {
    const { woken, warnings, notes, stop } = boxOf({ a: 100 }, { refuses: 3 })
    await pass(300)
    stop()
    expect(woken).toEqual([
      ['a', 85],
      ['a', 116],
      ['a', 147],
      ['a', 178],
    ])
    expect(warnings.filter((each) => each.includes('could not be woken'))).toHaveLength(1)
    expect(notes).toEqual(['woke it for a.timer', 'woke it for a.timer, 1 min late'])
  })
})

describe('a VM with an appointment that dozes', () => {
  test('goes on 5 s before it, once, forgets it, and is on an errand, which is not logged', async () => {
    const { woken, warnings, notes, usage, stop, appointmentOf, live } = boxOf({ z: 7200 })
    usage.note('z', 'a web request')
    await pass(7190)
    expect(woken).toEqual([])
    await pass(10)
    expect([live.get('z')?.domain, usage.of('z')?.why]).toEqual(['running', 'it went on for z.timer'])
    expect(usage.errandMs('z')).toBe(7_195_000)
    await pass(600)
    stop()
    expect([woken, appointmentOf('z'), warnings, notes]).toEqual([[['z', 7195]], null, [], []])
  })

  test('that was due while the daemon was dead goes on at once, and is told as late', async () => {
    const { woken, warnings, notes, stop } = boxOf({ z: -720 })
    await pass(5)
    stop()
    expect([woken, notes]).toEqual([[['z', 0]], ['had it go on for z.timer, 12 min late']])
    expect(warnings).toEqual([expect.stringMatching(/^z went on 12 min late for z\.timer, which was due at /)])
  })

  test('that can not go on is tried again, and told once', async () => {
    const { woken, warnings, stop } = boxOf({ z: 100 }, { refuses: 2 })
    await pass(300)
    stop()
    expect(woken.map(([, at]) => at)).toEqual([95, 125, 155])
    expect(warnings).toEqual([expect.stringMatching(/^z could not go on for z\.timer, .*libvirt is away\.$/)])
  })

  test('does not wait for those that are being woken', async () => {
    const { woken, stop } = boxOf({ a: 0, b: 0, c: 0, d: 0, z1: 5, z2: 5, z3: 5 })
    await pass(1)
    stop()
    expect(woken.filter(([, at]) => at === 0).map(([id]) => id)).toEqual(['d', 'c', 'z3', 'z2', 'z1'])
  })
})

test('many that are overdue are woken two at a time, by priority', async () => {
  const due = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`v${i}`, -5]))
  const { woken, stop } = boxOf(due, { priority: { v7: 'high', v8: 'high', v0: 'low', v1: 'low' } })
  await pass(30)
  stop()
  expect(woken).toHaveLength(10)
  expect(
    woken
      .slice(0, 2)
      .map(([id]) => id)
      .sort(),
  ).toEqual(['v7', 'v8'])
  expect(
    woken
      .slice(-2)
      .map(([id]) => id)
      .sort(),
  ).toEqual(['v0', 'v1'])
  for (const [, at] of woken) expect(woken.filter((each) => each[1] === at).length).toBeLessThanOrEqual(2)
})
