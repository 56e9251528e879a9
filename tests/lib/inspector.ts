import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'

/** A Node process's report of its own memory, in bytes. */
export type Memory = Pick<NodeJS.MemoryUsage, 'rss' | 'heapUsed' | 'external' | 'arrayBuffers'>

/** Looks inside one of our Node processes, by the inspector protocol. */
export class Inspector implements Disposable {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, PromiseWithResolvers<any>>()
  #chunk: ((text: string) => void) | undefined
  #count = 0

  /** The environment of a process that opens its inspector at this port on request. */
  static env = (port: number) => ({ NODE_OPTIONS: `--inspect-port=127.0.0.1:${port}` })

  static async open(pid: number, port: number): Promise<Inspector> {
    process.kill(pid, 'SIGUSR1')
    for (let left = 50; ; left--) {
      try {
        const [target] = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as any[]
        const socket = new WebSocket(target.webSocketDebuggerUrl)
        await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }))
        return new Inspector(socket)
      } catch (error) {
        if (left === 0) throw error
        await delay(100)
      }
    }
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.onmessage = ({ data }) => {
      const { id, result, error, method, params } = JSON.parse(String(data))
      if (method === 'HeapProfiler.addHeapSnapshotChunk') this.#chunk?.(params.chunk)
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (error) waiting?.reject(new Error(error.message))
      else waiting?.resolve(result)
    }
  }

  #ask(method: string, params: object = {}): Promise<any> {
    const waiting = Promise.withResolvers<any>()
    this.#waiting.set(++this.#count, waiting)
    this.#socket.send(JSON.stringify({ id: this.#count, method, params }))
    return waiting.promise
  }

  async memory(): Promise<Memory> {
    const { result } = await this.#ask('Runtime.evaluate', { expression: 'process.memoryUsage()', returnByValue: true })
    return result.value
  }

  /** Collects twice, since what the first pass frees may release more. */
  async collectGarbage(): Promise<void> {
    for (let i = 0; i < 2; i++) {
      await this.#ask('HeapProfiler.collectGarbage')
      await delay(200)
    }
  }

  /** Writes a heap snapshot for the Memory panel of Chromium's developer tools, which can compare two. */
  async snapshot(path: string): Promise<void> {
    const file = createWriteStream(path)
    this.#chunk = (text) => void file.write(text)
    await this.#ask('HeapProfiler.takeHeapSnapshot')
    await finished(file.end())
  }

  [Symbol.dispose](): void {
    this.#socket.close()
  }
}
