import { setTimeout as delay } from 'node:timers/promises'
import { CroftError } from '../../lib/error.ts'
import { priorities, type Vm } from '../../store/index.ts'
import { type Autostart, type Box, stateOf } from '../box.ts'
import { exclusively } from '../operation/exclusively.ts'
import { sleepMinutes } from '../sleep/idle.ts'
import { boots, bootVm } from './boot.ts'
import { systemEntry } from './system-entry.ts'

/**
 * Percent of the time in which something waits for a CPU. Above it, VMs that nobody waits for are not started while
 * others boot.
 */
const busyPercent = 60
const busyMs = 1_000
/** How long until a VM that the box could not admit is retried, unless somebody comes to wait for one sooner. */
const fullMs = 10_000

interface Turn {
  /** When somebody first asked for the VM, by `performance.now()`. */
  wantedAt: number | undefined
  /** The VM is being started. */
  under: boolean
  /** The activity log says already that the box could not admit it. */
  told: boolean
  started: PromiseWithResolvers<void>
}

/**
 * Starts the VMs again that ran when the box went down: as many at once as may boot, and first those that somebody
 * waits for. A VM that the box can't admit now, because memory or libvirt is missing, stays in the queue.
 */
export class AutostartQueue implements Autostart {
  readonly #turns = new Map<string, Turn>()
  readonly #cpuStalls: () => Promise<number | null>
  #begun = false

  /** @param cpuStalls percent of the time in which something waits for a CPU; null where that is unknown */
  constructor(cpuStalls: () => Promise<number | null>) {
    this.#cpuStalls = cpuStalls
  }

  get begun(): boolean {
    return this.#begun
  }

  has(id: string): boolean {
    return this.#turns.has(id)
  }

  want(id: string): Promise<void> | undefined {
    const turn = this.#turns.get(id)
    if (!turn) return undefined
    turn.wantedAt ??= performance.now()
    return turn.started.promise
  }

  async begin(box: Box): Promise<void> {
    this.#begun = true
    for (const vm of Object.values(box.store.state.vms)) if (isDue(box, vm)) this.#turns.set(vm.id, newTurn())
    await Promise.all(Array.from({ length: boots(box).size }, () => this.#start(box)))
  }

  /** Starts one VM after another until the queue is empty. */
  async #start(box: Box): Promise<void> {
    for (;;) {
      const busy = ((await this.#cpuStalls()) ?? 0) > busyPercent
      const next = this.#next(box)
      if (!next) return
      const [id, turn] = next
      const under = [...this.#turns.values()].some((each) => each.under)
      if (busy && under && turn.wantedAt === undefined) await delay(busyMs)
      else await this.#startOne(box, id, turn)
    }
  }

  #next(box: Box): [string, Turn] | undefined {
    const waiting = [...this.#turns].filter(([, { under }]) => !under)
    // Deleted VMs get their turn too; it ends immediately.
    const due = waiting.map(([id, turn]) => {
      const vm = box.store.state.vms[id]
      return { id, turn, wantedAt: turn.wantedAt, vm, pinned: vm !== undefined && sleepMinutes(box, vm) === 0 }
    })
    const [first] = due.sort(byTurn)
    return first && [first.id, first.turn]
  }

  async #startOne(box: Box, id: string, turn: Turn): Promise<void> {
    turn.under = true
    try {
      await exclusively(box, id, async () => {
        const vm = box.store.state.vms[id]
        if (!vm || !isDue(box, vm)) return // something else has happened to it meanwhile
        const deed = systemEntry(vm, 'started it after the box was restarted')
        await box.governor.admit(vm.name, () =>
          box.activity.during(
            deed,
            bootVm(box, vm, () => {}),
          ),
        )
      })
      this.#turns.delete(id)
      turn.started.resolve()
    } catch (err) {
      const later = err instanceof CroftError && ['no-room', 'unavailable'].includes(err.code)
      if (later) this.#turns.set(id, { ...newTurn(), told: true })
      else this.#turns.delete(id)
      turn.started.reject(err)
      if (!later) return box.log.error({ vm: id, err }, 'did not come up after the restart of the box')
      const vm = box.store.state.vms[id]
      if (vm && !turn.told) {
        box.log.warn({ vm: id, err }, 'could not be started yet after the restart of the box')
        const why = { result: 'failed', code: err.code, says: err.message } as const
        await box.activity.note(systemEntry(vm, 'tried to start it after the box was restarted', why))
      }
      await this.#rest()
    }
  }

  /** Waits a while, or until somebody waits for one of the VMs. */
  async #rest(): Promise<void> {
    const wanted = () => [...this.#turns.values()].some((turn) => turn.wantedAt !== undefined && !turn.under)
    for (let ms = 0; ms < fullMs && !wanted(); ms += busyMs) await delay(busyMs)
  }
}

function newTurn(): Turn {
  const started = Promise.withResolvers<void>()
  started.promise.catch(() => {}) // no caller may be waiting for it
  return { wantedAt: undefined, under: false, told: false, started }
}

/** Whether a VM should run and has not been started. */
const isDue = (box: Box, vm: Vm): boolean => vm.power === 'on' && stateOf(box, vm) === 'stopped'

export interface Due {
  wantedAt: number | undefined
  /** Undefined when the VM is gone. */
  vm: Pick<Vm, 'priority' | 'createdAt'> | undefined
  /** The VM is never put to sleep for being idle. */
  pinned: boolean
}

/**
 * Orders VMs by their turn: first those that somebody has waited for the longest, then by priority, then those that
 * never sleep, then the oldest. Pure.
 */
export function byTurn(a: Due, b: Due): number {
  const rank = ({ vm }: Due) => (vm ? priorities.indexOf(vm.priority) : -1)
  return (
    (a.wantedAt ?? Number.MAX_VALUE) - (b.wantedAt ?? Number.MAX_VALUE) ||
    rank(b) - rank(a) ||
    Number(b.pinned) - Number(a.pinned) ||
    (a.vm?.createdAt ?? '').localeCompare(b.vm?.createdAt ?? '')
  )
}
