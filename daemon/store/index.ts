import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Low } from 'lowdb'
import { z } from 'zod'
import { CroftError } from '../lib/error.ts'
import { DurableFile } from './durable-file.ts'
import { takeLock } from './lock.ts'
import { migrate } from './migrations.ts'
import { emptyState, type State, stateSchema } from './schema/state.ts'

export { DurableFile } from './durable-file.ts'
export { filterRecord, indexBy } from './records.ts'
export type { Key, Link, Session, Token } from './schema/access.ts'
export type { BackupPlan, BackupRecord, Retention } from './schema/backup.ts'
export type { Image } from './schema/image.ts'
export type { Checkpoint, Hardware, Layer, Memory, MemoryBase } from './schema/layer.ts'
export type { Operation } from './schema/operation.ts'
export type { Accelerator, State } from './schema/state.ts'
export {
  type Appointment,
  type Limits,
  noRates,
  priorities,
  type Rates,
  restartPolicies,
  type Vm,
} from './schema/vm.ts'
export type { CustomHost, Tls, WebSettings } from './schema/web.ts'

export interface Store {
  /** The state as of the last accepted change. Values are immutable: a reference keeps its content. */
  readonly state: State
  /**
   * Replaces the state with `change(state)`: immediately for readers. Resolves when the change is safe on disk.
   * `change` must be pure; if it throws, the call rejects and nothing changes. Changes made while a write is under way
   * share the next write. When a write fails, all changes that are not on disk are rolled back, and their calls reject.
   */
  update(change: (state: State) => State): Promise<void>
  /**
   * Calls `listener` with the previous state at each change that readers see, including rollbacks.
   * @returns stops watching
   */
  watch(listener: (before: State) => void): () => void
  /** Rejects when the lock on the folder is lost. */
  readonly lost: Promise<never>
  close(): Promise<void>
}

/**
 * Opens the store in a folder, creating both if necessary, and locks it against a second daemon.
 * @param makeRoom frees space on a full disk; returns false when it can't
 * @throws CroftError `conflict` when locked, `state-damaged` when the file can't be used.
 */
export async function openStore(folder: string, makeRoom = async (): Promise<boolean> => false): Promise<Store> {
  await mkdir(folder, { recursive: true, mode: 0o711 })
  const lock = await takeLock(join(folder, 'lock'))
  const file = new DurableFile<State>(join(folder, 'state.json'), parseState, makeRoom)
  const db = new Low<State>(file, emptyState(randomBytes(8).toString('hex')))
  try {
    await db.read()
  } catch (error) {
    await lock.release()
    throw error
  }

  db.data = withBareRecords(db.data)
  let durable = db.data
  let closed = false
  const listeners = new Set<(before: State) => void>()
  /** Callers whose changes are part of the next write. */
  let waiting: PromiseWithResolvers<void> | undefined
  let writer: Promise<void> | undefined

  function show(state: State): void {
    const before = db.data
    db.data = state
    for (const listener of listeners) listener(before)
  }

  async function writeAll(): Promise<void> {
    while (waiting) {
      const batch = waiting
      waiting = undefined
      const target = db.data
      try {
        await db.write()
        durable = target
        batch.resolve()
      } catch (error) {
        // Later changes are based on the one that could not be written: all of them are rolled back.
        const later = waiting as PromiseWithResolvers<void> | undefined
        waiting = undefined
        show(durable)
        batch.reject(error)
        later?.reject(error)
      }
    }
    writer = undefined
  }

  return {
    get state() {
      return db.data
    },
    update(change) {
      if (closed) return Promise.reject(new CroftError('unavailable', 'The store is closed.'))
      try {
        const changed = change(db.data)
        if (changed === db.data) return Promise.resolve()
        show(withBareRecords(changed))
      } catch (error) {
        return Promise.reject(error)
      }
      waiting ??= Promise.withResolvers()
      const { promise } = waiting
      writer ??= writeAll()
      return promise
    },
    watch(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    lost: lock.lost,
    async close() {
      closed = true
      await writer
      await lock.release()
    },
  }
}

const recordsOfState = Object.entries(stateSchema.shape).flatMap(([name, schema]) =>
  schema instanceof z.ZodRecord ? [name as keyof State] : [],
)

/**
 * Returns the state with records that have no prototype. With one, a lookup of a word from outside, such as
 * "constructor", would find something. Records without a prototype are kept as they are.
 */
function withBareRecords(state: State): State {
  const bare = recordsOfState.flatMap((name) =>
    Object.getPrototypeOf(state[name]) === null ? [] : [[name, Object.assign(Object.create(null), state[name])]],
  )
  return bare.length === 0 ? state : { ...state, ...Object.fromEntries(bare) }
}

function parseState(raw: unknown): State {
  const migrated = migrate(z.record(z.string(), z.unknown()).parse(raw))
  const result = stateSchema.safeParse(migrated)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new RangeError(`at ${issue?.path.join('.') || 'its top'}: ${issue?.message ?? 'invalid'}`)
}
