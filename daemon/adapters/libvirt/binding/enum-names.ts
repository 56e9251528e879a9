/** Names for libvirt's enum values, in the order of libvirt-domain.h. */

/** `virDomainState` */
export const domainStates = [
  'no-state',
  'running',
  'blocked',
  'paused',
  'shutting-down',
  'shut-off',
  'crashed',
  'pm-suspended',
] as const
export type DomainState = (typeof domainStates)[number]

const running = [
  'unknown',
  'booted',
  'migrated',
  'restored',
  'from-snapshot',
  'unpaused',
  'migration-cancelled',
  'save-cancelled',
  'wakeup',
  'crashed',
  'postcopy',
  'postcopy-failed',
]
const paused = [
  'unknown',
  'user',
  'migration',
  'save',
  'dump',
  'io-error',
  'watchdog',
  'from-snapshot',
  'shutting-down',
  'snapshot',
  'crashed',
  'starting-up',
  'postcopy',
  'postcopy-failed',
  'api-error',
]
const shutOff = [
  'unknown',
  'shutdown',
  'destroyed',
  'crashed',
  'migrated',
  'saved',
  'failed',
  'from-snapshot',
  'daemon',
]
const stateReasons: Partial<Record<DomainState, readonly string[]>> = {
  running,
  paused,
  'shut-off': shutOff,
  'shutting-down': ['unknown', 'user'],
  crashed: ['unknown', 'panicked'],
}

export const word = (words: readonly string[] | undefined, index: number): string => words?.[index] ?? `${index}`

/** Returns the names of a domain's state and of its reason. */
export function stateWords(state: number, reason: number): { state: DomainState; reason: string } {
  const name = domainStates[state] ?? 'no-state'
  return { state: name, reason: word(stateReasons[name], reason) }
}

/** `virDomainEventType` */
export const lifecycleEvents = [
  'defined',
  'undefined',
  'started',
  'suspended',
  'resumed',
  'stopped',
  'shutdown',
  'pmsuspended',
  'crashed',
] as const

/** The detail enum of each lifecycle event, e.g. `virDomainEventStoppedDetailType`. */
export const lifecycleDetails: Record<(typeof lifecycleEvents)[number], readonly string[]> = {
  defined: ['added', 'updated', 'renamed', 'from-snapshot'],
  undefined: ['removed', 'renamed'],
  started: ['booted', 'migrated', 'restored', 'from-snapshot', 'wakeup'],
  suspended: [
    'paused',
    'migrated',
    'io-error',
    'watchdog',
    'restored',
    'from-snapshot',
    'api-error',
    'postcopy',
    'postcopy-failed',
  ],
  resumed: ['unpaused', 'migrated', 'from-snapshot', 'postcopy', 'postcopy-failed'],
  stopped: ['shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from-snapshot'],
  shutdown: ['finished', 'guest', 'host'],
  pmsuspended: ['memory', 'disk'],
  crashed: ['panicked', 'crashloaded'],
}

/** `virConnectDomainEventAgentLifecycleReason` */
export const agentReasons = ['unknown', 'domain-started', 'channel'] as const

/** `virDomainBlockJobType` */
export const blockJobTypes = ['unknown', 'pull', 'copy', 'commit', 'active-commit', 'backup'] as const
/** `virConnectDomainEventBlockJobStatus` */
export const blockJobStatuses = ['completed', 'failed', 'cancelled', 'ready'] as const
/** `virDomainEventIOErrorAction` */
export const ioErrorActions = ['none', 'pause', 'report'] as const
/** `virConnectCloseReason` */
export const closeReasons = ['an error', 'libvirtd ended the connection', 'libvirtd does not answer', 'closed'] as const
