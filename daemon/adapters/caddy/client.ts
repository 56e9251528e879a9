import { request } from 'node:http'
import { CroftError } from '../../lib/error.ts'
import { adminOrigin, type CaddyConfig } from './config.ts'

const timeoutMs = 10_000

/** Caddy's admin API on a unix socket (https://caddyserver.com/docs/api). */
export interface Caddy {
  /** Returns the whole configuration that Caddy runs. @throws CroftError `unavailable` */
  config(): Promise<unknown>
  /** Replaces the whole configuration, or fails and changes nothing. @throws CroftError `unavailable`, `conflict` */
  load(config: CaddyConfig): Promise<void>
}

/** @param socket path of the unix socket of the admin API */
export function makeCaddy(socket: string): Caddy {
  return {
    async config() {
      return JSON.parse(await ask(socket, 'GET', '/config/'))
    },
    async load(config) {
      await ask(socket, 'POST', '/load', JSON.stringify(config))
    },
  }
}

function ask(socketPath: string, method: string, path: string, body?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const unavailable = (cause: Error) =>
      reject(
        new CroftError('unavailable', `Caddy can't be reached at ${socketPath}: ${cause.message}.`, {
          hint: 'Croft tries again until Caddy runs: systemctl status croft-caddy',
          cause,
        }),
      )
    const asked = request(
      {
        socketPath,
        method,
        path,
        headers: { Host: adminOrigin, ...(body !== undefined && { 'Content-Type': 'application/json' }) },
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', unavailable)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          if (response.statusCode === 200) resolve(text)
          else reject(new CroftError('conflict', `Caddy refused its configuration: ${reasonIn(text)}`))
        })
      },
    )
    asked.on('error', unavailable)
    asked.end(body)
  })
}

/** Returns the message of an error that Caddy answers with: `{"error": "…"}`. */
function reasonIn(text: string): string {
  try {
    return String((JSON.parse(text) as { error?: unknown }).error ?? text)
  } catch {
    return text.slice(0, 200)
  }
}
