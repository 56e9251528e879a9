/** How a session is called, whether the gateway reports it or a connection to the port of SSH is seen. */
export const sshSession = 'an SSH session'

/** What uses a VM now, or used it last. */
export interface Use {
  /** Such as "an SSH session". */
  why: string
  /** The last moment at which the VM was known to be in use. */
  at: Date
  /** The VM is in use now. */
  now: boolean
}

/**
 * Tracks which VMs are in use. The daemon's own work in a VM reports itself; use that is visible from outside is
 * polled. Kept in memory only: a VM that is awake when the daemon starts counts as used then.
 */
export class UsageTracker {
  /** `at`: by the steady clock. */
  readonly #last = new Map<string, { why: string; at: number }>()
  /** What this daemon is doing in each VM now, by the VM's id. */
  readonly #inside = new Map<string, string[]>()
  /** How many sessions the gateway has in each VM, by the VM's id. */
  #sessions: ReadonlyMap<string, number> = new Map()
  /** What the latest poll saw. */
  #seen: ReadonlyMap<string, string> = new Map()
  /**
   * VMs that are awake for an appointment and that nobody else has used since, with the last use before it by the steady
   * clock, if that still counts.
   */
  readonly #errands = new Map<string, number>()
  readonly #isThere: (id: string) => boolean
  readonly #steady: () => number
  readonly #clock: () => Date

  /**
   * @param isThere whether there is such a VM: work that ends in a VM deleted meanwhile is not noted
   * @param steady milliseconds by a clock that nobody sets, so that jumps of the time of day don't change how long a VM
   * has been idle @param clock the time of day, to report it in
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

  /** Notes that the VM was used at this moment: somebody woke it, or a request came for it. */
  note(id: string, why: string): void {
    this.#errands.delete(id)
    this.#touch(id, why)
  }

  /**
   * Notes that the VM was woken for something that is due in it. What it then does by itself goes with that.
   * @param usedAt what `usedAt` said before, where that use still counts
   */
  noteErrand(id: string, why: string, usedAt = Number.NEGATIVE_INFINITY): void {
    this.#touch(id, why)
    this.#errands.set(id, usedAt)
  }

  /** When the VM was last used other than for an appointment, by the steady clock. */
  usedAt = (id: string): number | undefined => this.#errands.get(id) ?? this.notedAt(id)

  /**
   * How long the VM had been without other use when it last did something for the appointment that it is awake for, in
   * ms. Undefined when it is not awake for an appointment alone.
   */
  errandMs(id: string): number | undefined {
    const usedAt = this.#errands.get(id)
    return usedAt === undefined ? undefined : (this.notedAt(id) ?? 0) - usedAt
  }

  #touch(id: string, why: string): void {
    if (this.#isThere(id)) this.#last.set(id, { why, at: this.#steady() })
  }

  /** Does `work` and counts the VM as in use until it is done. */
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

  /** Takes the result of a poll of all VMs: those that are not named are not in use. */
  see(seen: ReadonlyMap<string, string>): void {
    this.#seen = seen
    for (const [id, why] of seen) this.#touch(id, why)
  }

  /** Adds to the result of the latest poll. */
  seeOne(id: string, why: string): void {
    this.see(new Map(this.#seen).set(id, why))
  }

  /** Takes the gateway's report: the number of SSH sessions of each VM, by its id. */
  attend(sessions: ReadonlyMap<string, number>): void {
    for (const id of this.#sessions.keys()) if (!sessions.has(id)) this.note(id, sshSession)
    this.#sessions = sessions
  }

  /** The number of SSH sessions that a VM has now through the gateway. */
  sessions = (id: string): number => this.#sessions.get(id) ?? 0

  /** Who is in a VM now, by SSH or through this daemon; undefined for nobody. */
  inside(id: string): string | undefined {
    const sessions = this.sessions(id)
    if (sessions > 0) return sessions === 1 ? sshSession : `${sessions} SSH sessions`
    const seen = this.#seen.get(id)
    return this.#inside.get(id)?.[0] ?? (seen === sshSession ? seen : undefined)
  }

  /** When the VM was last noted as used, by the steady clock; undefined when it was not since the daemon started. */
  notedAt = (id: string): number | undefined => this.#last.get(id)?.at

  /** The VM's current or last use; undefined when none is known since the daemon started. */
  of(id: string): Use | undefined {
    const why = this.inside(id) ?? this.#seen.get(id)
    if (why !== undefined) return { why, at: this.#clock(), now: true }
    const last = this.#last.get(id)
    if (!last) return undefined
    const at = new Date(this.#clock().getTime() - (this.#steady() - last.at))
    return { why: last.why, at, now: false }
  }

  forget(id: string): void {
    this.#errands.delete(id)
    this.#last.delete(id)
  }
}
