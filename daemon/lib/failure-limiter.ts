/**
 * Limits how often an address may try codes and links that turn out to be invalid: after 10 failures within a minute,
 * it must wait until the first of them is a minute old.
 */
export class FailureLimiter {
  readonly #failures = new Map<string, number[]>()
  readonly #clock: () => number

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock
  }

  /** Seconds that an address has to wait; 0 for none. */
  wait(address: string): number {
    const recent = this.#recent(address)
    return recent.length < most ? 0 : Math.ceil((recent[0]! + windowMs - this.#clock()) / 1000)
  }

  fail(address: string): void {
    const recent = [...this.#recent(address), this.#clock()].slice(-most)
    this.#failures.delete(address)
    this.#failures.set(address, recent)
    // Evicts the address that failed longest ago: a flood from many addresses takes no more memory than this.
    for (const oldest of this.#failures.keys()) {
      if (this.#failures.size <= mostAddresses) break
      this.#failures.delete(oldest)
    }
  }

  #recent(address: string): number[] {
    return (this.#failures.get(address) ?? []).filter((at) => this.#clock() - at < windowMs)
  }
}

const most = 10
const windowMs = 60_000
const mostAddresses = 10_000
