import type { ChildProcess } from 'node:child_process'
import { CroftError } from '../../lib/error.ts'
import { LibvirtError, unavailable } from './binding/errors.ts'
import type { OpName } from './binding/ops/index.ts'
import { endChild, forkBridge, onGone, rssMiB } from './child.ts'
import { deadlineMs } from './deadlines.ts'
import type { Reply } from './serve.ts'

/** A call waits this long for a busy child before the pool grows. Most calls take under a millisecond. */
const GROW_AFTER_MS = 50
const SHRINK_AFTER_MS = 10_000
const START_DEADLINE_MS = 10_000

export interface CallOptions {
  /** Counted from when a child starts the call. The default depends on the operation, and is mostly 10 s. */
  timeoutMs?: number
  signal?: AbortSignal | undefined
}

interface Job {
  op: OpName
  args: readonly unknown[]
  timeoutMs: number
  settle(outcome: { value: unknown } | { error: Error }): void
}

interface Worker {
  process: ChildProcess
  state: 'starting' | 'idle' | 'busy'
  job?: Job | undefined
  timer?: NodeJS.Timeout | undefined
}

export interface PoolStatus {
  pid: number | undefined
  rssMiB: number
  op: OpName | null
}

/**
 * The calls children: normally one, more while calls wait, one again when it is quiet. Calls start in order. A child
 * that exceeds its deadline, or whose call is cancelled, is killed: there is no other way out of a blocked call.
 */
export class CallPool {
  readonly #uri: string
  readonly #maxChildren: number
  readonly #recycleRssMiB: number
  readonly #queue: Job[] = []
  readonly #workers = new Set<Worker>()
  #growTimer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: { uri: string; maxCalls: number; recycleRssMiB: number }) {
    this.#uri = options.uri
    this.#maxChildren = options.maxCalls
    this.#recycleRssMiB = options.recycleRssMiB
  }

  /** @throws LibvirtError; CroftError `unavailable`, `timed-out`, `cancelled` */
  submit(op: OpName, args: readonly unknown[], { timeoutMs = deadlineMs(op), signal }: CallOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw cancelled(op)
      const onAbort = () => this.#abandon(job, cancelled(op))
      const job: Job = {
        op,
        args,
        timeoutMs,
        settle(outcome) {
          signal?.removeEventListener('abort', onAbort)
          if ('error' in outcome) reject(outcome.error)
          else resolve(outcome.value)
        },
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#queue.push(job)
      this.#pump()
    })
  }

  /** Starts a child if there is none, so that the next call need not wait for one. */
  warm(): void {
    if (this.#workers.size === 0 && !this.#closed) this.#spawn()
  }

  /** Fails every call, waiting or under way, and kills all children, whose connections are useless now. */
  fail(error: Error): void {
    for (const job of this.#queue.splice(0)) job.settle({ error })
    for (const worker of [...this.#workers]) void this.#kill(worker, error)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#growTimer)
    const error = unavailable('the connection was closed.')
    for (const job of this.#queue.splice(0)) job.settle({ error })
    await Promise.all(
      [...this.#workers].map((worker) => (worker.job ? this.#kill(worker, error) : this.#retire(worker))),
    )
  }

  status(): PoolStatus[] {
    return [...this.#workers].map(({ process: { pid }, job }) => ({ pid, rssMiB: rssMiB(pid), op: job?.op ?? null }))
  }

  /** Gives waiting calls to idle children; if none is idle, starts another one after a moment. */
  #pump(): void {
    while (this.#queue.length > 0) {
      const worker = [...this.#workers].findLast(({ state }) => state === 'idle')
      if (!worker) break
      this.#start(worker, this.#queue.shift()!)
    }
    if (this.#queue.length > 0) this.#grow()
  }

  #grow(): void {
    if (this.#workers.size === 0) this.#spawn()
    if (this.#growTimer || this.#workers.size >= this.#maxChildren) return
    this.#growTimer = setTimeout(() => {
      this.#growTimer = undefined
      const starting = [...this.#workers].some(({ state }) => state === 'starting')
      if (this.#queue.length > 0 && !starting && this.#workers.size < this.#maxChildren) this.#spawn()
      this.#pump()
    }, GROW_AFTER_MS)
  }

  #spawn(): void {
    const child = forkBridge('calls', this.#uri)
    const worker: Worker = { process: child, state: 'starting' }
    worker.timer = setTimeout(() => child.kill('SIGKILL'), START_DEADLINE_MS)
    this.#workers.add(worker)
    child.on('message', (message: Reply | 'ready') => {
      if (message === 'ready') this.#idle(worker)
      else this.#finish(worker, message)
    })
    onGone(child, (reason) => this.#gone(worker, reason))
  }

  #start(worker: Worker, job: Job): void {
    clearTimeout(worker.timer)
    worker.state = 'busy'
    worker.job = job
    worker.timer = setTimeout(() => this.#abandon(job, timedOut(job)), job.timeoutMs)
    worker.process.send({ op: job.op, args: job.args }, () => {}) // if this fails, the child is about to end
  }

  #finish(worker: Worker, reply: Reply): void {
    const job = worker.job
    if (!job) return
    worker.job = undefined
    if (reply.rssBytes > this.#recycleRssMiB * 1024 * 1024) {
      void this.#retire(worker)
      this.warm()
    } else {
      this.#idle(worker)
    }
    job.settle('result' in reply ? { value: reply.result } : { error: failure(job.op, reply) })
  }

  #idle(worker: Worker): void {
    clearTimeout(worker.timer)
    worker.state = 'idle'
    worker.timer = setTimeout(() => {
      if (this.#workers.size > 1) void this.#retire(worker)
    }, SHRINK_AFTER_MS)
    this.#pump()
  }

  /** Gives up a call: removes it from the queue, or kills the child that carries it out. */
  #abandon(job: Job, error: Error): void {
    const at = this.#queue.indexOf(job)
    if (at >= 0) this.#queue.splice(at, 1)
    const worker = [...this.#workers].find((one) => one.job === job)
    if (worker) void this.#kill(worker, error)
    else job.settle({ error })
    this.#pump()
  }

  async #kill(worker: Worker, error: Error): Promise<void> {
    const { job } = worker
    worker.job = undefined
    const ended = this.#retire(worker)
    worker.process.kill('SIGKILL')
    job?.settle({ error })
    await ended
  }

  #retire(worker: Worker): Promise<void> {
    clearTimeout(worker.timer)
    this.#workers.delete(worker)
    return endChild(worker.process)
  }

  /** Handles a child that ended by itself. */
  #gone(worker: Worker, reason: string): void {
    if (!this.#workers.delete(worker)) return
    clearTimeout(worker.timer)
    // A child that did not even start fails a waiting call, so that a bridge that never starts is reported, not retried
    // forever.
    const job = worker.job ?? (worker.state === 'starting' ? this.#queue.shift() : undefined)
    job?.settle({ error: unavailable(`its bridge process ended during ${job.op} (${reason}).`) })
    if (worker.state !== 'starting') this.warm()
    this.#pump()
  }
}

function failure(op: OpName, reply: Exclude<Reply, { result: unknown }>): Error {
  if ('libvirtError' in reply) return new LibvirtError(reply.libvirtError)
  return new CroftError('internal', 'Croft failed while it talked to libvirt.', {
    cause: reply.defect,
    details: { operation: op },
  })
}

const mayHappen = 'The operation may still finish. To see: croft ls'

function cancelled(op: OpName): CroftError {
  return new CroftError('cancelled', 'Croft stopped waiting for libvirt.', {
    hint: mayHappen,
    details: { operation: op },
  })
}

function timedOut({ op, timeoutMs }: Job): CroftError {
  return new CroftError('timed-out', `libvirt did not finish within ${timeoutMs / 1000} s.`, {
    hint: mayHappen,
    details: { operation: op },
  })
}
