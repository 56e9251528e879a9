import type { Level } from './interfaces/governor.ts'

export type BoxEvent = { vm?: string; name?: string } & (
  | { type: 'vm.new' | 'vm.removed' | 'vm.changed' }
  | { type: 'vm.state'; state: string; reason?: string; console?: string }
  | { type: 'image.new' | 'image.removed' | 'image.golden'; image: string }
  /** The activity log has a new entry. Names no VM, because the entry itself changes nothing about one. */
  | { type: 'activity' }
  | { type: 'key.new' | 'key.changed' | 'key.removed'; key: string }
  | { type: 'box.libvirt'; connected: boolean; reason?: string }
  | { type: 'box.warning'; message: string }
  /** The box's memory pressure has changed; what was done about a VM's memory. */
  | { type: 'box.memory'; level: Level; message: string }
  | { type: 'vm.memory'; message: string }
  /** A VM takes so much of the box that others wait. */
  | { type: 'vm.heavy'; message: string }
)

export type NumberedEvent = BoxEvent & { id: string; time: string }

/**
 * The box's events, in order. The latest are kept, so that a listener that was away for a moment misses nothing. A
 * listener that was away too long, or that knows another run of the daemon, is told so.
 */
export class EventLog {
  readonly #run: string
  readonly #kept: NumberedEvent[] = []
  readonly #listeners = new Set<(event: NumberedEvent) => void>()
  #count = 0
  readonly #capacity: number

  /** @param run distinguishes this run of the daemon from others; becomes part of each event's id, `<run>-<number>` */
  constructor(run: string, capacity = 2000) {
    this.#run = run
    this.#capacity = capacity
  }

  publish(event: BoxEvent): void {
    this.#count++
    const numbered = { ...event, id: `${this.#run}-${this.#count}`, time: new Date().toISOString() }
    this.#kept.push(numbered)
    if (this.#kept.length > this.#capacity) this.#kept.shift()
    for (const listener of [...this.#listeners]) listener(numbered)
  }

  /** Returns the events after the one with this id; undefined when some of them are no longer kept. */
  since(id: string): NumberedEvent[] | undefined {
    const match = /^(.*)-(\d+)$/.exec(id)
    const number = Number(match?.[2])
    const first = this.#count - this.#kept.length
    if (match?.[1] !== this.#run || number < first || number > this.#count) return undefined
    return this.#kept.slice(number - first)
  }

  get lastId(): string {
    return `${this.#run}-${this.#count}`
  }

  listen(listener: (event: NumberedEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
