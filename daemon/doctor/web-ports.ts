import { readlink, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { caddyUser, gatewayUser, userId } from '../lib/process/accounts.ts'
import { runProgram } from '../lib/process/run.ts'

/** A program that listens on a TCP port of this box. */
export interface PortHolder {
  port: number
  /** Name of the program; undefined when the kernel does not tell: it runs in a container, or is the kernel itself. */
  program: string | undefined
  pid: number | undefined
}

/** Parses the lines of `ss -ltnpH`, such as `LISTEN 0 511 *:80 *:* users:(("nginx",pid=123,fd=6),…)`. Pure. */
export function parseListeners(text: string): PortHolder[] {
  return text.split('\n').flatMap((line) => {
    const [, port, rest = ''] = /^LISTEN\s+\d+\s+\d+\s+\S+:(\d+)\s(.*)$/.exec(line) ?? []
    if (port === undefined) return []
    const [, program, pid] = /\("([^"]*)",pid=(\d+)/.exec(rest) ?? []
    return [{ port: Number(port), program, pid: pid === undefined ? undefined : Number(pid) }]
  })
}

/** Returns the programs that listen on this box, other than Croft's own Caddy and SSH gateway. */
export async function otherListeners(): Promise<PortHolder[]> {
  const [{ stdout }, ...own] = await Promise.all([runProgram('ss', ['-ltnpH']), userId(caddyUser), userId(gatewayUser)])
  const found = await Promise.all(
    parseListeners(stdout).map(async (listener) => {
      if (listener.pid === undefined) return listener
      const process = `/proc/${listener.pid}`
      // A process that has just ended holds no port.
      const user = await stat(process).then(
        ({ uid }) => uid,
        () => undefined,
      )
      if (user === undefined || own.includes(user)) return undefined
      // The name that ss gives may be that of one of the process's threads.
      const program = await readlink(`${process}/exe`).then(basename, () => listener.program)
      return { ...listener, program }
    }),
  )
  return found.filter((each) => each !== undefined)
}

/** Returns a sentence such as "Port 80 is in use by nginx (process 123)", without its period. Pure. */
export function described({ port, program, pid }: PortHolder): string {
  if (program === undefined) return `Port ${port} is in use by something that the kernel does not name`
  return `Port ${port} is in use by ${program}${pid === undefined ? '' : ` (process ${pid})`}`
}

export interface WebPorts {
  http: number
  https: number
}

/** Returns the holders of these ports; when several hold the same port, the first of them. Pure. */
export function holdersOf(ports: readonly number[], others: readonly PortHolder[]): PortHolder[] {
  return ports.flatMap((port) => others.find((each) => each.port === port) ?? [])
}

/**
 * Returns the wanted ports, with a free one in place of each that another program holds: 8080 and 8443, or the next
 * free one after it. Pure.
 * @param taken further ports that must not be chosen
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

/** Returns the wanted port if no other program holds it, else the next one that is free. Pure. */
export function choosePort(wanted: number, others: readonly PortHolder[], taken: readonly number[] = []): number {
  const held = new Set([...others.map(({ port }) => port), ...taken])
  let port = wanted
  while (held.has(port)) port++
  return port
}
