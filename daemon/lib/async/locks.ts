/** Runs at most one function at a time per key, in the order of arrival. */
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

  /** Whether somebody holds the key or waits for it; preemptible work does not count. */
  isLocked(key: string): boolean {
    return this.#tails.has(key)
  }

  /** Whether anything, including preemptible work, holds the key or waits for it. */
  isHeld(key: string): boolean {
    return this.#tails.has(key) || this.#preemptible.has(key)
  }

  /** Calls the watcher whenever a key has become free. @returns stops watching */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /**
   * Runs low-priority work while holding all `keys`. When anyone else asks for one of them, the work's signal is
   * aborted, and the newcomer waits until the work has stopped.
   * @returns undefined when one of the keys is held now
   */
  runPreemptible<T>(keys: readonly string[], work: (signal: AbortSignal) => Promise<T>): Promise<T> | undefined {
    if (keys.some((key) => this.isHeld(key))) return undefined
    const controller = new AbortController()
    const over = Promise.withResolvers<void>()
    const holder = {
      end() {
        controller.abort()
        return over.promise
      },
    }
    for (const key of keys) this.#preemptible.set(key, holder)
    return work(controller.signal).finally(() => {
      for (const key of keys) this.#preemptible.delete(key)
      over.resolve()
      this.#tell()
    })
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }

  /**
   * Aborts the preemptible work that holds one of these keys.
   * @returns resolves when it has stopped; undefined when there is none
   */
  interrupt(keys: Iterable<string>): Promise<void> | undefined {
    for (const key of keys) if (this.#preemptible.has(key)) return this.#preemptible.get(key)!.end()
    return undefined
  }
}

/** Lets at most `size` functions run at once; the others wait in the order of arrival. */
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
