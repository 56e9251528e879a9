import { CroftError } from '../lib/error.ts'
import type { DomainEvent, DomainInfo } from './interfaces/hypervisor.ts'

/** What libvirt's events say about a domain right now. */
export interface LiveState {
  readonly domain: DomainInfo['state']
  /** The guest agent has its channel open. */
  readonly agent: boolean
  /** The guest has been told its identity since its start: it can be used. */
  readonly ready: boolean
  /** The guest is rebooting itself, and its agent has not come back yet. */
  readonly rebooting: boolean
  /** How often it has rebooted itself since its start. */
  readonly reboots: number
  /** A shutdown was requested. */
  readonly stopping: boolean
  /** Id of the memory base that it maps; null for none. */
  readonly base: string | null
  /** Why, in a word or two of libvirt's. */
  readonly reason: string
  /** By the steady clock (`performance.now()`). */
  readonly since: number
}

const off = {
  domain: 'off',
  agent: false,
  ready: false,
  rebooting: false,
  reboots: 0,
  stopping: false,
  base: null,
} as const

type Watcher = (uuid: string, now: LiveState | undefined, before: LiveState | undefined) => void

/** Whether a domain has a QEMU that holds its memory, running or not. */
export const hasMemory = (live: LiveState | undefined): boolean =>
  live?.domain === 'running' || live?.domain === 'paused'

/** Whether a domain that was started no longer runs. */
export const isOver = (live: LiveState | undefined): boolean => live?.domain === 'off' || live?.domain === 'crashed'

/** The daemon's picture of what runs: fed by libvirt's events and corrected by full listings. */
export class Live {
  readonly #states = new Map<string, LiveState>()
  readonly #watchers = new Set<Watcher>()

  get(uuid: string): LiveState | undefined {
    return this.#states.get(uuid)
  }

  /** The ids of the memory bases that domains map. */
  bases(): string[] {
    return [...this.#states.values()].flatMap(({ base }) => base ?? [])
  }

  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /** Replaces the picture with a full listing. A running domain whose agent answers has been made ready before. */
  replace(domains: readonly DomainInfo[]): void {
    const listed = new Set(domains.map((domain) => domain.uuid))
    for (const uuid of this.#states.keys()) if (!listed.has(uuid)) this.forget(uuid)
    for (const { uuid, state, reason = 'listed', agent, base = null } of domains) {
      const before = this.#states.get(uuid)
      if (before && before.domain === state && (before.agent === agent || state !== 'running')) continue
      const ready = state === 'running' ? (before?.ready ?? agent) : false
      this.#set(uuid, { ...off, domain: state, agent, ready, reason, base })
    }
  }

  apply(event: DomainEvent): void {
    switch (event.type) {
      case 'started':
        // libvirt's event may come after the daemon has noted the base of the same start.
        this.#set(event.uuid, { ...off, domain: 'running', reason: event.reason, base: this.#baseOf(event.uuid) })
        break
      case 'stopped':
        this.#set(event.uuid, { ...off, domain: event.how === 'crashed' ? 'crashed' : 'off', reason: event.reason })
        break
      case 'paused':
        this.#change(event.uuid, { domain: 'paused', reason: event.reason })
        break
      case 'resumed':
        this.#change(event.uuid, { domain: 'running', reason: event.reason })
        break
      case 'rebooted':
        this.#change(event.uuid, {
          ready: false,
          agent: false,
          rebooting: true,
          reboots: (this.get(event.uuid)?.reboots ?? 0) + 1,
          stopping: false,
        })
        break
      case 'agent':
        // After a reboot the guest finds its identity on its disk: its agent's answer makes it ready again.
        if (event.connected && this.get(event.uuid)?.rebooting)
          this.#change(event.uuid, { agent: true, ready: true, rebooting: false })
        else this.#change(event.uuid, { agent: event.connected })
        break
    }
  }

  /**
   * Records what libvirt's events don't tell: the daemon has made the guest ready, has asked it to stop, or has loaded
   * its memory over a base.
   */
  mark(uuid: string, marks: { ready?: boolean; stopping?: boolean; base?: string }): void {
    this.#change(uuid, marks)
  }

  forget(uuid: string): void {
    const before = this.#states.get(uuid)
    if (!before) return
    this.#states.delete(uuid)
    this.#tell(uuid, undefined, before)
  }

  /**
   * Waits until `until` holds for the domain. Driven by events; nothing is polled.
   * @throws CroftError `timed-out` after `timeoutMs`, `cancelled` on the signal
   */
  async waitFor(
    uuid: string,
    until: (state: LiveState | undefined) => boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<LiveState | undefined> {
    if (until(this.get(uuid))) return this.get(uuid)
    const { promise, resolve, reject } = Promise.withResolvers<LiveState | undefined>()
    const unwatch = this.watch((changed, now) => {
      if (changed === uuid && until(now)) resolve(now)
    })
    const timer = setTimeout(
      () => reject(new CroftError('timed-out', `It took longer than ${timeoutMs / 1000} s.`)),
      timeoutMs,
    )
    const onAbort = () => reject(new CroftError('cancelled', 'Cancelled.'))
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted) onAbort()
    try {
      return await promise
    } finally {
      unwatch()
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #baseOf(uuid: string): string | null {
    const live = this.get(uuid)
    return isOver(live) ? null : (live?.base ?? null)
  }

  #change(uuid: string, change: Partial<LiveState>): void {
    const before = this.#states.get(uuid)
    if (before) this.#set(uuid, { ...before, ...change })
  }

  #set(uuid: string, state: Omit<LiveState, 'since'>): void {
    const before = this.#states.get(uuid)
    const since =
      before && before.domain === state.domain && before.ready === state.ready ? before.since : performance.now()
    const now = { ...state, since }
    this.#states.set(uuid, now)
    this.#tell(uuid, now, before)
  }

  #tell(uuid: string, now: LiveState | undefined, before: LiveState | undefined): void {
    for (const watcher of [...this.#watchers]) watcher(uuid, now, before)
  }
}
