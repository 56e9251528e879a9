import type { Check } from '../../core/interfaces/check.ts'
import type { Web } from '../../core/interfaces/web.ts'
import { type CustomHost, indexBy, type Vm, type WebSettings } from '../../store/index.ts'
import { type Gate, linkPath } from './authorize.ts'
import { hostOf, originOf, type PublicOrigin } from './routing.ts'

const byTarget = indexBy(({ vm, port }: CustomHost) => `${vm} ${port}`)

/** Returns the web address of a VM or of one of its ports: with a custom host name if there is one. */
export function addressOf(gate: Pick<Gate, 'box' | 'front'>, vm: Vm, port: number | null = null): string {
  const front: PublicOrigin = gate.front()
  const own = byTarget(gate.box.store.state.hosts, `${vm.id} ${port}`)
  return `${originOf(front, own?.host ?? hostOf(front, vm.name, port))}/`
}

export interface WebParts {
  gate: Gate
  /** The daemon's own port, on loopback. */
  port: number
  /** Absent when the configuration has no web addresses. */
  change: ((settings: WebSettings) => Promise<void>) | undefined
  check(): Promise<Check[]>
}

/** Makes the interface through which commands use the gate. */
export function makeWeb({ gate, port: localPort, change, check }: WebParts): Web {
  const { sessions, links, tokens } = gate
  const address: Web['address'] = (vm, port) => addressOf(gate, vm, port)
  return {
    loginLinks() {
      const front = gate.front()
      const host = hostOf(front, 'croft')
      return {
        link: change ? `${originOf(front, host)}/login?code=${sessions.makeCode(host)}` : null,
        local: `http://localhost:${localPort}/login?code=${sessions.makeCode('localhost')}`,
      }
    },
    signIns: () => sessions.signIns(),
    endSignIn: (id) => sessions.end(id),
    endAllSignIns: () => sessions.endAll(),
    async shareLink(vm, port, name, seconds) {
      const { link, secret } = await links.make(vm, port, name, seconds)
      return { link, url: `${address(vm, port).slice(0, -1)}${linkPath}?key=${secret}` }
    },
    linksOf: (vm) => links.of(vm),
    makeToken: (given, seconds) => tokens.make(given, seconds),
    tokens: () => tokens.all(),
    addressOfName: (name) => `${originOf(gate.front(), hostOf(gate.front(), name))}/`,
    address,
    findPort: (vm) => gate.ports.mainPort(vm),
    listening: (vm) => gate.ports.of(vm),
    on: change !== undefined,
    async change(settings) {
      await change?.(settings)
    },
    check,
  }
}
