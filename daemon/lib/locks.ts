/** Runs at most one function at a time per key, in the order they came. */
export class Locks {
  readonly #tails = new Map<string, Promise<unknown>>()
  readonly #watchers = new Set<() => void>()
  readonly #preemptible = new Map<string, { end(): Promise<void> }>()

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? this.interrupt([key]) ?? Promise.resolve()
    const mine = before.then(work, work)
    const tail = mine.catch(() => {})
    this.#tails.set(key, tail)
    try {
      return await mine
    } finally {
      if (this.#tails.get(key) === tail) {
        this.#tails.delete(key)
        this.#tell()
      }
    }
  }

  /** Whether somebody holds the key or waits for it; what is done aside does not count. */
  isLocked(key: string): boolean {
    return this.#tails.has(key)
  }

  /** Whether anything is done with the key. */
  isHeld(key: string): boolean {
    return this.#tails.has(key) || this.#preemptible.has(key)
  }

  /** The watcher is called whenever nothing is done with a key any more. The result stops it. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /**
   * Does what nobody waits for, with all these keys at once and only while nobody wants any of them: its signal is
   * aborted when somebody does, who then waits for its end.
   * @returns undefined when one of the keys is taken now
   */
  runPreemptible<T>(keys: readonly string[], work: (wanted: AbortSignal) => Promise<T>): Promise<T> | undefined {
    if (keys.some((key) => this.isHeld(key))) return undefined
    const wanted = new AbortController()
    const over = Promise.withResolvers<void>()
    const holder = {
      end() {
        wanted.abort()
        return over.promise
      },
    }
    for (const key of keys) this.#preemptible.set(key, holder)
    return work(wanted.signal).finally(() => {
      for (const key of keys) this.#preemptible.delete(key)
      over.resolve()
      this.#tell()
    })
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }

  /** Ends what is done aside with one of these keys; undefined when there is nothing to end. */
  interrupt(keys: Iterable<string>): Promise<void> | undefined {
    for (const key of keys) if (this.#preemptible.has(key)) return this.#preemptible.get(key)!.end()
    return undefined
  }
}

/** Lets at most `size` functions run at once; the others wait in the order they came. */
export class Semaphore {
  readonly size: number
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(size: number) {
    this.size = size
    this.#free = size
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}
