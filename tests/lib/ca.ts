import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { httpPort, httpsPort, names, slot } from './croft.ts'
import { must, program } from './program.ts'

const port = 17_400 + slot
/** The address at which the CA finds a test's box; its ports 80 and 443 are those of the test's Caddy. */
const boxAddress = `127.0.0.${50 + slot}`
const table = `${names.table}ca`

/**
 * A CA of a test's own: a second real Caddy with `acme_server`. It has a hosts file of its own that maps names to the
 * test's box, and the kernel redirects its calls on ports 80 and 443 to the ports of the test's Caddy.
 */
export class TestCa implements AsyncDisposable {
  readonly directory = `https://localhost:${port}/acme/local/directory`
  /** Path of its root certificate. */
  readonly root: string
  readonly #folder: string
  #child: ChildProcess | undefined
  #said = ''

  /** @param hosts names that it validates at the test's box */
  static async start(hosts: readonly string[]): Promise<TestCa> {
    const ca = new TestCa(await mkdtemp(join(tmpdir(), 'croft-ca-')))
    try {
      await ca.#start(hosts)
    } catch (error) {
      await ca[Symbol.asyncDispose]()
      throw error
    }
    return ca
  }

  private constructor(folder: string) {
    this.#folder = folder
    this.root = join(folder, 'caddy/pki/authorities/local/root.crt')
  }

  async #start(hosts: readonly string[]): Promise<void> {
    await nft(`${removal}
      table ip ${table} {
        chain output {
          type nat hook output priority -100;
          ip daddr ${boxAddress} tcp dport 80 dnat to 127.0.0.1:${httpPort}
          ip daddr ${boxAddress} tcp dport 443 dnat to 127.0.0.1:${httpsPort}
        }
      }`)
    const config = join(this.#folder, 'ca.json')
    const hostsFile = join(this.#folder, 'hosts')
    await writeFile(hostsFile, ['127.0.0.1 localhost', ...hosts.map((host) => `${boxAddress} ${host}`), ''].join('\n'))
    await writeFile(config, JSON.stringify(caConfig))
    // It ends with the process that started it, however that ends.
    const start = 'mount --bind "$1" /etc/hosts && exec setpriv --pdeathsig KILL caddy run --config "$2"'
    this.#child = spawn('unshare', ['--mount', 'sh', '-c', start, 'sh', hostsFile, config], {
      env: { PATH: process.env.PATH, XDG_DATA_HOME: this.#folder, XDG_CONFIG_HOME: this.#folder },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text) => (this.#said += text))
    while ((await program('curl', ['-sf', '--cacert', this.root, this.directory])).code !== 0) {
      if (this.#child.exitCode !== null) throw new Error(`The CA ended:\n${this.#said}`)
      await delay(20)
    }
  }

  /** The number of certificates requested from it. */
  get orders(): number {
    return this.#said.split('"uri":"/acme/local/new-order"').length - 1
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child && this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL')
      await once(this.#child, 'exit')
    }
    await nft(removal)
    await rm(this.#folder, { recursive: true, force: true })
  }
}

const removal = `table ip ${table}\ndelete table ip ${table}\n`
const nft = (input: string) => must('nft', ['-f', '-'], { input })

const caConfig = {
  admin: { disabled: true },
  apps: {
    pki: { certificate_authorities: { local: { name: 'Test', install_trust: false } } },
    tls: {
      certificates: { automate: ['localhost'] },
      automation: { policies: [{ issuers: [{ module: 'internal' }] }] },
    },
    http: {
      servers: {
        ca: {
          listen: [`127.0.0.1:${port}`],
          logs: {},
          automatic_https: { disable: true },
          tls_connection_policies: [{}],
          routes: [{ handle: [{ handler: 'acme_server' }] }],
        },
      },
    },
  },
}
