import { type Box, findVm, imageOf } from '../../core/box.ts'
import type { Listening } from '../../core/interfaces/web.ts'
import type { Vm } from '../../store/index.ts'
import { listeningScript, mainPort, parseListening } from './listening.ts'

/** How long what a guest listens on is taken to stay so. */
const freshMs = 2_000
/** How long a guest that listened on something is taken to do so still, while it is asked again. */
const usableMs = 60_000
const answerMs = 10_000

interface Known {
  at: number
  ports: Promise<Listening[]>
  /** What `ports` came to, once it has. */
  found: Listening[]
}

/** What guests listen on: asked of themselves, and remembered for a moment. */
export class GuestPorts {
  readonly #box: Box
  readonly #known = new Map<string, Known>()

  constructor(box: Box) {
    this.#box = box
  }

  /** As it is now, or was within the last 2 s; whoever asks meanwhile shares the answer. Empty for a guest that says nothing. */
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

  /** The port that a VM's plain address leads to when none is set. One that was found lately is used while it is looked again. */
  async mainPort({ id }: Vm): Promise<number | undefined> {
    const { state } = this.#box.store
    const vm = findVm(state, id)
    const image = imageOf(state, vm).ports
    const known = this.#known.get(id)
    const last = known && performance.now() - known.at < usableMs ? mainPort(known.found, image) : undefined
    const asked = this.of(vm)
    return last ?? mainPort(await asked, image)
  }

  /** Something that was thought to listen does not: it is asked anew. */
  forget({ id }: Vm): void {
    this.#known.delete(id)
  }
}
