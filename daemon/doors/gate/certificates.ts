import { imageOf, stateOf } from '../../core/box.ts'
import type { Vm } from '../../store/index.ts'
import type { Gate } from './authorize.ts'
import { hostName, parseHost, targetOf } from './routing.ts'

/** How many ports of a VM can get a certificate because it listens on them or a client asked, out of 65,535. */
const mostPorts = 20

/**
 * Decides for which host names Caddy can get certificates: Croft's own, those of existing VMs, custom host names, and
 * names of ports that are shared or that a guest listens on. With the box's own CA it allows a few more ports per VM,
 * so that a page can say that nothing listens there. Every other name costs only a lookup.
 */
export class Certificates {
  readonly #gate: Gate
  /** Ports that a guest once listened on, by VM id: their certificates are renewed even while nothing listens. */
  readonly #ports = new Map<string, Set<number>>()
  /**
   * Ports with a certificate from the box's own CA although nothing listens. They are counted separately, so that
   * strangers can't use up the limit of `#ports`.
   */
  readonly #asked = new Map<string, Set<number>>()

  constructor(gate: Gate) {
    this.#gate = gate
  }

  /** @param name the host name from a TLS client; untrusted */
  async allows(name: string): Promise<boolean> {
    const { state } = this.#gate.box.store
    const host = hostName(name)
    if (Object.hasOwn(state.hosts, host) || parseHost(host, state.web.domain)?.kind === 'croft') return true
    const target = targetOf(state, host)
    if (!target?.vm) return false
    return target.port === null || this.#gate.sessions.hasBeenAt(host) || this.#allowsPort(target.vm, target.port)
  }

  async #allowsPort(vm: Vm, port: number): Promise<boolean> {
    const { box, links, ports } = this.#gate
    const known = this.#ports.get(vm.id) ?? new Set()
    if (known.has(port) || port === vm.web.port || vm.web.public.includes(port)) return true
    if (imageOf(box.store.state, vm).ports.includes(port) || links.of(vm).some((link) => link.port === port))
      return true
    const listens =
      known.size < mostPorts && stateOf(box, vm) === 'awake' && (await ports.of(vm)).some((each) => each.port === port)
    if (listens) return this.#note(this.#ports, vm, port)
    return box.store.state.web.tls.mode === 'internal' && this.#note(this.#asked, vm, port)
  }

  /** Adds a port, up to the limit. @returns whether the port is among those of the VM now */
  #note(all: Map<string, Set<number>>, vm: Vm, port: number): boolean {
    for (const id of all.keys()) if (!(id in this.#gate.box.store.state.vms)) all.delete(id)
    const noted = all.get(vm.id) ?? new Set()
    if (noted.size < mostPorts) all.set(vm.id, noted.add(port))
    return noted.has(port)
  }
}
