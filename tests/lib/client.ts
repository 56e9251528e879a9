import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { type Croft, httpPort } from './croft.ts'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
  trailers: NodeJS.Dict<string>
}

/** A client that keeps one connection open. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  async get(label: string, path = '/', headers: Record<string, string> = {}, form?: string): Promise<Answer> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const host = { Host: `${label}.localhost:${httpPort}` }
      const options = { host: '127.0.0.1', port: httpPort, path, agent: this.#agent, timeout: 20_000 }
      request({ ...options, method: form ? 'POST' : 'GET', headers: { ...host, ...headers } }, resolve)
        .on('error', reject)
        .on('timeout', () => reject(new Error('no answer')))
        .end(form)
    })
    const body = await text(response)
    return { status: response.statusCode!, headers: response.headers, body, trailers: response.trailers }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }
}

const cookieOf = ({ headers }: Answer) => ({ Cookie: headers['set-cookie']![0]!.split(';')[0]! })

/**
 * Signs in as a browser does, and enters a VM's address. @param label the address's first part @returns the session's
 * cookie
 */
export const enter = async (croft: Croft, label: string): Promise<{ Cookie: string }> =>
  cookieOf(await enterAt(croft, label, '/'))

/** As `enter`, and on to a path there. @returns the last answer on the way: the cookie, and the redirect's target */
export async function enterAt(croft: Croft, label: string, to: string): Promise<Answer> {
  using browser = new Client()
  const code = (await croft.do('login')).split('\n')[0]!.split('code=')[1]!
  const origin = { Origin: `http://croft.localhost:${httpPort}`, 'Content-Type': 'application/x-www-form-urlencoded' }
  const owner = cookieOf(await browser.get('croft', '/login', origin, `code=${code}`))
  const path = `/enter?host=${label}.localhost:${httpPort}&to=${encodeURIComponent(to)}`
  const { headers } = await browser.get('croft', path, owner)
  return await browser.get(label, new URL(headers.location!, 'http://x').href.replace(/^http:\/\/[^/]+/, ''))
}
