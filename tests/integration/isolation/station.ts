import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'

const answerWithinMs = 60_000
const script = join(import.meta.dirname, 'station.py')

/** A running station.py. It answers requests one after another. */
export class Station implements Disposable {
  readonly #child: ChildProcess
  readonly #lines: Interface
  readonly #waiting: PromiseWithResolvers<any>[] = []
  #errors = ''

  /** @param place a command line prefix that runs another program there; empty for the box itself */
  static async open(place: readonly string[]): Promise<Station> {
    const [program, ...args] = [...place, 'python3', '-u', script]
    return Station.#ready(spawn(program!, args, { stdio: 'pipe' }))
  }

  /** In a VM, as root. By its own SSH connection, so that it outlives the daemon. */
  static async enter(folder: string, vm: { id: string; ip: string }): Promise<Station> {
    const source = (await readFile(script)).toString('base64')
    const options = [
      `UserKnownHostsFile=${folder}/vms/${vm.id}/known_hosts`,
      `HostKeyAlias=${vm.id}`,
      `IdentityFile=${folder}/keys/daemon_ed25519`,
      'BatchMode=yes',
      'ControlPath=none',
    ]
    const args = ['-F', 'none', ...options.flatMap((option) => ['-o', option]), '-l', 'dev', vm.ip]
    const line = `exec sudo python3 -u -c 'import base64; exec(base64.b64decode("${source}"))'`
    return Station.#ready(spawn('ssh', [...args, line], { stdio: 'pipe' }))
  }

  static async #ready(child: ChildProcess): Promise<Station> {
    const station = new Station(child)
    await station.#answer()
    return station
  }

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout! })
    this.#lines.on('line', (line) => {
      const { result, error } = JSON.parse(line)
      const asked = this.#waiting.shift()
      if (error) asked?.reject(new Error(error))
      else asked?.resolve(result)
    })
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      this.#errors += text
    })
    child.stdin!.on('error', () => {})
    child.on('close', () => {
      for (const asked of this.#waiting.splice(0)) asked.reject(new Error(`a station ended: ${this.#errors}`))
    })
  }

  #answer(): Promise<any> {
    const asked = Promise.withResolvers<any>()
    this.#waiting.push(asked)
    const timer = setTimeout(() => asked.reject(new Error('a station does not answer')), answerWithinMs)
    return asked.promise.finally(() => clearTimeout(timer))
  }

  /** Calls one of station.py's functions. */
  do(name: string, ...args: unknown[]): Promise<any> {
    const answer = this.#answer()
    this.#child.stdin!.write(`${JSON.stringify({ do: name, with: args })}\n`)
    return answer
  }

  /** Runs a program there. @returns its output */
  async run(...argv: string[]): Promise<string> {
    const { code, out } = await this.do('run', argv)
    if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${out}`)
    return out
  }

  [Symbol.dispose](): void {
    this.#child.kill()
  }
}
