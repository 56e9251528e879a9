import { type Box, findVm, imageOf } from '../../core/box.ts'
import type { Listening } from '../../core/interfaces/web.ts'
import type { Vm } from '../../store/index.ts'
import { listeningScript, mainPort, parseListening } from './listening.ts'

/** How long an answer of a guest counts as current. */
const freshMs = 2_000
/** How long an older answer can still be used while the guest is asked again. */
const usableMs = 60_000
const answerMs = 10_000

interface Known {
  at: number
  ports: Promise<Listening[]>
  /** The result of `ports` once it has settled; until then, the previous one. */
  found: Listening[]
}

/** The ports that guests listen on. The guests are asked, and their answers are cached briefly. */
export class GuestPorts {
  readonly #box: Box
  readonly #known = new Map<string, Known>()

  constructor(box: Box) {
    this.#box = box
  }

  /**
   * Returns the ports, at most 2 s old. Concurrent callers share the answer. Empty for a guest that does not answer.
   */
  of(vm: Vm): Promise<Listening[]> {
    const now = performance.now()
    const known = this.#known.get(vm.id)
    if (known && now - known.at < freshMs) return known.ports
    const ports = this.#box.guests.script(vm.uuid, listeningScript, answerMs).then(
      ({ stdout }) => parseListening(stdout),
      () => [],
    )
    const next: Known = { at: now, ports, found: known?.found ?? [] }
    for (const [id, { at }] of this.#known) if (now - at >= usableMs) this.#known.delete(id)
    this.#known.set(vm.id, next)
    void ports.then((found) => (next.found = found))
    return ports
  }

  /**
   * Returns the port for a VM's plain address when none is set: a recent one if known, while the guest is asked again.
   */
  async mainPort({ id }: Vm): Promise<number | undefined> {
    const { state } = this.#box.store
    const vm = findVm(state, id)
    const image = imageOf(state, vm).ports
    const known = this.#known.get(id)
    const last = known && performance.now() - known.at < usableMs ? mainPort(known.found, image) : undefined
    const asked = this.of(vm)
    return last ?? mainPort(await asked, image)
  }

  /** Drops the cached answer, because a port that it names did not answer. */
  forget({ id }: Vm): void {
    this.#known.delete(id)
  }
}
