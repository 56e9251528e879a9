import { lookup } from 'node:dns/promises'
import { connect as connectTcp } from 'node:net'
import { networkInterfaces } from 'node:os'
import { connect, type PeerCertificate } from 'node:tls'
import type { Check } from '../core/interfaces/check.ts'
import { plainLine } from '../lib/text/plain-text.ts'
import { until } from '../lib/text/units.ts'
import type { WebSettings } from '../store/index.ts'
import { checkAcme } from './check-acme.ts'

const patienceMs = 20_000

export interface WebCheckParts {
  settings: WebSettings
  ports: { http: number; https: number }
  /** Host names that belong to single VMs. */
  hosts: readonly string[]
  /** File with the root certificate of Caddy's own CA. */
  ownRoot: string
}

/**
 * Runs the checks of `domain check`: do names point to this box, are its ports served, does the CA answer, are
 * certificates valid?
 */
export async function checkWeb(parts: WebCheckParts): Promise<Check[]> {
  const { domain, tls } = parts.settings
  // `<vm>` may be any name: the wildcard must also answer for names that nobody has thought of yet.
  const names = [`croft.${domain}`, `any-name-at-all.${domain}`, ...parts.hosts]
  const ports = tls.mode === 'off' ? [parts.ports.http] : [parts.ports.http, parts.ports.https]
  const others = [...(domain === 'localhost' ? [] : names.map(checkName)), ...ports.map(checkPort)]
  if (tls.mode === 'off') return Promise.all(others)
  const ca = tls.mode === 'acme' ? [await checkAcme(tls)] : []
  // Caddy retries a certificate request that failed, unchanged, for 3 minutes; until then that name would have no
  // certificate.
  const withCertificate = ca.some(({ state }) => state === 'wrong') ? [] : [`croft.${domain}`, ...parts.hosts]
  return Promise.all([...others, ...ca, ...withCertificate.map((name) => checkCertificate(name, parts))])
}

/** Returns the addresses of the box's own interfaces; behind NAT, the world sees another. */
function ownAddresses(): Set<string> {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  return new Set(all.map(({ address }) => address))
}

async function checkName(name: string): Promise<Check> {
  const what = `DNS of ${name}`
  const found = await lookup(name, { all: true }).catch(
    (error: NodeJS.ErrnoException) => error.code ?? 'the lookup failed',
  )
  const record = name.startsWith('any-name') ? `*${name.slice(name.indexOf('.'))}` : name
  const advice = `Create an A record (and AAAA, if the box has IPv6) for ${record} with the box's public address.`
  if (typeof found === 'string') return { what, state: 'wrong', says: `has no address (${found})`, advice }
  const addresses = found.map(({ address }) => address)
  const own = ownAddresses()
  if (addresses.every((address) => own.has(address)))
    return { what, state: 'fine', says: `points here, to ${addresses.join(', ')}` }
  return {
    what,
    state: 'look',
    says: `points to ${addresses.join(', ')}; no network card of this box has ${addresses.length === 1 ? 'this address' : 'all of these'}`,
    advice: `This is right if a router or the provider translates addresses (NAT). If not: ${advice}`,
  }
}

function checkPort(port: number): Promise<Check> {
  const what = `port ${port}`
  const socket = connectTcp({ host: '127.0.0.1', port, timeout: patienceMs })
  return new Promise<Check>((resolve) => {
    socket.once('connect', () => resolve({ what, state: 'fine', says: 'is served on this box' }))
    const failed = (why: string) =>
      resolve({
        what,
        state: 'wrong',
        says: `is not served: ${why}`,
        advice: `systemctl status croft-caddy. To see what else listens there: ss -ltnp sport = :${port}`,
      })
    socket.once('error', (error) => failed(error.message))
    socket.once('timeout', () => failed('no answer'))
  }).finally(() => socket.destroy())
}

/** Checks the certificate of a name. If Caddy has none yet, this makes it request one. */
function checkCertificate(name: string, { ports, settings, ownRoot }: WebCheckParts): Promise<Check> {
  const what = `certificate of ${name}`
  const socket = connect({
    host: '127.0.0.1',
    port: ports.https,
    servername: name,
    rejectUnauthorized: false,
    timeout: patienceMs,
  })
  return new Promise<Check>((resolve) => {
    socket.once('secureConnect', () =>
      resolve(described(what, socket.getPeerCertificate(), socket.authorized, settings, ownRoot)),
    )
    const failed = (why: string) =>
      resolve({
        what,
        state: 'wrong',
        says: `can't be obtained: ${why}`,
        advice: `The CA's reason is in Caddy's log: journalctl -u croft-caddy. The CA must reach ports 80 and 443 of this box by that name.`,
      })
    socket.once('error', (error) => failed(error.message.replaceAll('\n', ' ').trim()))
    socket.once('timeout', () => failed(`no answer within ${patienceMs / 1000} s`))
  }).finally(() => socket.destroy())
}

function described(
  what: string,
  { issuer, valid_to }: PeerCertificate,
  trusted: boolean,
  { tls }: WebSettings,
  ownRoot: string,
): Check {
  const names = [issuer?.O, issuer?.CN].flat().filter(Boolean).join(', ')
  // A CA may call itself anything.
  const by = plainLine(names).slice(0, 100) || 'an unnamed CA'
  const ends = until(new Date(valid_to).toISOString(), new Date())
  const says = `issued by ${by}, ${ends === 'over' ? 'expired' : `expires ${ends}`}`
  if (trusted) return { what, state: 'fine', says }
  if (tls.mode === 'internal')
    return {
      what,
      state: 'look',
      says: `${says}; browsers don't trust this CA yet`,
      advice: `Import the root certificate of the box's own CA into your browsers: ${ownRoot}`,
    }
  return { what, state: 'look', says: `${says}; this box does not trust it` }
}
