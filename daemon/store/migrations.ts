import { stateVersion } from './schema/state.ts'

/** `migrations[n]` turns a state of version n into one of version n + 1. All older versions stay readable. */
const migrations: Readonly<Record<number, (state: Record<string, unknown>) => Record<string, unknown>>> = {
  1: ({ vms, ...state }) => ({
    ...state,
    vms: Object.fromEntries(
      Object.entries(vms as Record<string, object>).map(([id, vm]) => [id, { ...vm, web: { port: null, public: [] } }]),
    ),
    sessions: {},
    links: {},
  }),
  // Everyone has to sign in again: older sessions don't record where they came from.
  2: (state) => ({
    ...state,
    sessions: {},
    tokens: {},
    web: { domain: 'localhost', tls: { mode: 'off' } },
    hosts: {},
  }),
  3: ({ keys, ...state }) => ({
    ...state,
    keys: Object.fromEntries(
      Object.entries(keys as Record<string, object>).map(([fingerprint, key]) => [
        fingerprint,
        { ...key, vm: null, tag: null, authority: false },
      ]),
    ),
  }),
  4: ({ vms, ...state }) => ({
    ...state,
    samePages: false,
    vms: Object.fromEntries(
      Object.entries(vms as Record<string, object>).map(([id, vm]) => [id, { ...vm, priority: 'normal' }]),
    ),
  }),
  5: ({ vms, ...state }) => ({
    ...state,
    vms: Object.fromEntries(
      Object.entries(vms as Record<string, object>).map(([id, vm]) => [
        id,
        { ...vm, rates: { cpuPercent: null, diskBytesPerS: null, netBitsPerS: null } },
      ]),
    ),
  }),
  6: ({ vms, ...state }) => ({
    ...state,
    vms: Object.fromEntries(
      Object.entries(vms as Record<string, object>).map(([id, vm]) => [id, { ...vm, restart: 'never' }]),
    ),
  }),
  7: ({ vms, memories, operations, ...state }) => {
    const withBase = (memory: object) => ({ ...memory, base: null })
    return {
      ...state,
      vms: mapValues(vms as Record<string, object>, (vm) => ({
        ...vm,
        dozing: false,
        appointment: null,
        keepsAppointments: true,
      })),
      memories: mapValues(memories as Record<string, object>, withBase),
      memoryBases: {},
      memoryLayers: null,
      // The memory that an open operation is saving; a compression only names its memory.
      operations: mapValues(operations as Record<string, { memory?: unknown }>, (operation) =>
        typeof operation.memory === 'object' && operation.memory !== null
          ? { ...operation, memory: withBase(operation.memory) }
          : operation,
      ),
    }
  },
  8: (state) => ({ ...state, backups: { plan: null, vms: {}, box: null } }),
}

function mapValues<T>(record: Record<string, T>, change: (value: T) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}

/**
 * Migrates a parsed state file to the current version, one step at a time.
 * @throws RangeError for a version that this program does not know (a newer Croft wrote it).
 */
export function migrate(
  raw: Record<string, unknown>,
  steps = migrations,
  target: number = stateVersion,
): Record<string, unknown> {
  let state = raw
  let version = typeof state.version === 'number' ? state.version : Number.NaN
  if (!Number.isInteger(version) || version < 1 || version > target) {
    throw new RangeError(`its version is ${JSON.stringify(raw.version)}, this Croft reads 1 to ${target}`)
  }
  while (version < target) {
    const step = steps[version]
    if (!step) throw new RangeError(`there is no way from version ${version} to ${version + 1}`)
    version += 1
    state = { ...step(state), version }
  }
  return state
}
