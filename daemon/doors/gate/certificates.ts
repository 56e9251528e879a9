import { imageOf, stateOf } from '../../core/box.ts'
import type { Vm } from '../../store/index.ts'
import type { Gate } from './authorize.ts'
import { hostName, parseHost, targetOf } from './routing.ts'

/** How many ports of one VM get a certificate because it listens on them, or somebody asked: there are 65,535 of each. */
const mostPorts = 20

/**
 * Which host names Caddy may have certificates for: Croft's own, those of VMs that there are, the names of their own that
 * VMs have, and of ports those that somebody has shared or that a guest listens on; with the box's own CA a few more of each VM,
 * so that there is a page which says that nothing listens there. Every other name costs a lookup.
 */
export class Certificates {
  readonly #gate: Gate
  /** Ports that guests were found to listen on, by the VM's id: their certificates are renewed while nothing listens, too. */
  readonly #ports = new Map<string, Set<number>>()
  /** Ports that have one from the box's own CA though nothing listens: apart, so that strangers can't use up the others' room. */
  readonly #asked = new Map<string, Set<number>>()

  constructor(gate: Gate) {
    this.#gate = gate
  }

  /** @param name a host name as a TLS client says it, whatever it is */
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

  /** @returns whether it is among those of the VM now: there is room for so many */
  #note(all: Map<string, Set<number>>, vm: Vm, port: number): boolean {
    for (const id of all.keys()) if (!(id in this.#gate.box.store.state.vms)) all.delete(id)
    const noted = all.get(vm.id) ?? new Set()
    if (noted.size < mostPorts) all.set(vm.id, noted.add(port))
    return noted.has(port)
  }
}
