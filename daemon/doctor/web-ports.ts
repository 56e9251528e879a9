import { readlink, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { caddyUser, gatewayUser, userId } from '../lib/accounts.ts'
import { runProgram } from '../lib/run.ts'

/** A program that listens on a TCP port of this box. */
export interface PortHolder {
  port: number
  /** Name of the program; undefined where the kernel does not say: it is in a container, or the kernel itself. */
  program: string | undefined
  pid: number | undefined
}

/** Lines of `ss -ltnpH`, such as `LISTEN 0 511 *:80 *:* users:(("nginx",pid=123,fd=6),…)`. Pure. */
export function parseListeners(text: string): PortHolder[] {
  return text.split('\n').flatMap((line) => {
    const [, port, rest = ''] = /^LISTEN\s+\d+\s+\d+\s+\S+:(\d+)\s(.*)$/.exec(line) ?? []
    if (port === undefined) return []
    const [, program, pid] = /\("([^"]*)",pid=(\d+)/.exec(rest) ?? []
    return [{ port: Number(port), program, pid: pid === undefined ? undefined : Number(pid) }]
  })
}

/** Who listens on this box, but for Croft's own Caddy and its SSH gateway. */
export async function otherListeners(): Promise<PortHolder[]> {
  const [{ stdout }, ...own] = await Promise.all([runProgram('ss', ['-ltnpH']), userId(caddyUser), userId(gatewayUser)])
  const found = await Promise.all(
    parseListeners(stdout).map(async (listener) => {
      if (listener.pid === undefined) return listener
      const process = `/proc/${listener.pid}`
      // One that has just ended holds nothing.
      const user = await stat(process).then(
        ({ uid }) => uid,
        () => undefined,
      )
      if (user === undefined || own.includes(user)) return undefined
      // What the kernel calls a process may be the name of one of its threads.
      const program = await readlink(`${process}/exe`).then(basename, () => listener.program)
      return { ...listener, program }
    }),
  )
  return found.filter((each) => each !== undefined)
}

/** Such as "Port 80 is held by nginx (process 123)". Pure. */
export function described({ port, program, pid }: PortHolder): string {
  if (program === undefined) return `Port ${port} is held by something that the kernel does not name`
  return `Port ${port} is held by ${program}${pid === undefined ? '' : ` (process ${pid})`}`
}

export interface WebPorts {
  http: number
  https: number
}

/** Who holds these ports: of several at one, the first. Pure. */
export function holdersOf(ports: readonly number[], others: readonly PortHolder[]): PortHolder[] {
  return ports.flatMap((port) => others.find((each) => each.port === port) ?? [])
}

/**
 * The wanted ports where nobody else holds them, else free ones: 8080 and 8443, or the next that is free. Pure.
 * @param taken ports that are not to be chosen either
 */
export function choosePorts(wanted: WebPorts, others: readonly PortHolder[], taken: readonly number[] = []): WebPorts {
  const held = new Set([...others.map(({ port }) => port), ...taken])
  const choose = (port: number, from: number, but: number): number => {
    if (!held.has(port)) return port
    let other = from
    while (held.has(other) || other === but) other++
    return other
  }
  const http = choose(wanted.http, 8080, wanted.https)
  return { http, https: choose(wanted.https, 8443, http) }
}

/** The wanted port where nobody else holds it, else the next that is free. Pure. */
export function choosePort(wanted: number, others: readonly PortHolder[], taken: readonly number[] = []): number {
  const held = new Set([...others.map(({ port }) => port), ...taken])
  let port = wanted
  while (held.has(port)) port++
  return port
}
