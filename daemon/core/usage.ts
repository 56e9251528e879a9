/** What uses a VM, or what used it last. */
export interface Use {
  /** Such as "an SSH session". */
  why: string
  /** The last moment at which it was known to be used. */
  at: Date
  /** It is used now. */
  now: boolean
}

/**
 * Who uses which VM: what this daemon does in it says so itself, and what can be seen from outside is looked at from
 * time to time. Kept in memory only: a VM that is found awake counts as used then.
 */
export class UsageTracker {
  /** `at`: by the steady clock. */
  readonly #last = new Map<string, { why: string; at: number }>()
  /** What this daemon does in a VM now, by the VM's id. */
  readonly #inside = new Map<string, string[]>()
  /** How many sessions the gateway has in each, by the VM's id. */
  #sessions: ReadonlyMap<string, number> = new Map()
  /** What the latest look saw. */
  #seen: ReadonlyMap<string, string> = new Map()
  readonly #isThere: (id: string) => boolean
  readonly #steady: () => number
  readonly #clock: () => Date

  /**
   * @param isThere whether there is such a VM: what ends in one that has been deleted meanwhile is not noted
   * @param steady milliseconds by a clock that nobody sets: however the time of day jumps, a VM has been idle for as long
   * as it has @param clock the time of day, to say it in
   */
  constructor(
    isThere: (id: string) => boolean,
    steady: () => number = () => performance.now(),
    clock: () => Date = () => new Date(),
  ) {
    this.#isThere = isThere
    this.#steady = steady
    this.#clock = clock
  }

  /** Something used the VM at this moment: somebody woke it, or a request came for it. */
  note(id: string, why: string): void {
    if (this.#isThere(id)) this.#last.set(id, { why, at: this.#steady() })
  }

  /** The VM is in use until the work is done. */
  async during<T>(id: string, why: string, work: () => Promise<T>): Promise<T> {
    this.#inside.set(id, [...(this.#inside.get(id) ?? []), why])
    try {
      return await work()
    } finally {
      const left = this.#inside.get(id)!
      left.splice(left.indexOf(why), 1)
      if (left.length === 0) this.#inside.delete(id)
      this.note(id, why)
    }
  }

  /** What a look at the VMs saw of use in them: of all of them, those that are not named are not used. */
  see(seen: ReadonlyMap<string, string>): void {
    this.#seen = seen
    for (const [id, why] of seen) this.note(id, why)
  }

  /** What the gateway says: how many SSH sessions there are in which VM, by its id. */
  attend(sessions: ReadonlyMap<string, number>): void {
    for (const id of this.#sessions.keys()) if (!sessions.has(id)) this.note(id, 'an SSH session')
    this.#sessions = sessions
  }

  /** SSH sessions by the gateway that a VM has now. */
  sessions = (id: string): number => this.#sessions.get(id) ?? 0

  /** Undefined when nothing is known of its use since the daemon started. */
  of(id: string): Use | undefined {
    const sessions = this.sessions(id)
    const entered = sessions > 0 ? (sessions === 1 ? 'an SSH session' : `${sessions} SSH sessions`) : undefined
    const why = entered ?? this.#inside.get(id)?.[0] ?? this.#seen.get(id)
    if (why !== undefined) return { why, at: this.#clock(), now: true }
    const last = this.#last.get(id)
    if (!last) return undefined
    const at = new Date(this.#clock().getTime() - (this.#steady() - last.at))
    return { why: last.why, at, now: false }
  }

  forget(id: string): void {
    this.#last.delete(id)
  }
}
