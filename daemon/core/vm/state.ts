import { CroftError } from '../../lib/error.ts'
import type { Vm } from '../../store/index.ts'
import type { LiveState } from '../live.ts'

/**
 *            new                    start                     guest agent answers
 *   making ───────▶ stopped ─────────────────▶ starting ───────────────────────────▶ awake
 *                    ▲  ▲                      ▲  │                                   │  ▲
 *                    │  └──────────── stop, or the guest powers off ◀── stopping ◀────┤  │ resume
 *                    │ start                   │                                      ▼  │
 *                 crashed ◀──────────── the guest panics, or QEMU ends ───────────  paused
 *                                              │ wake                                 │
 *                                           asleep ◀── sleep: from awake and dozing ──┘
 *
 *   dozing: its QEMU was suspended by Croft because nobody used it. Awake ◀──▶ dozing takes milliseconds. `stop`,
 *   `sleep` and others have it go on first.
 *   paused: whatever else suspended it, such as a full disk or somebody with virsh.
 *   `new` and `cp` of a checkpoint with memory begin asleep, and wake.
 *   leaving: `rm` has begun; nothing else may be done to the VM.
 */
export const vmStates = [
  'making',
  'stopped',
  'starting',
  'awake',
  'dozing',
  'asleep',
  'stopping',
  'paused',
  'crashed',
  'leaving',
] as const
export type VmState = (typeof vmStates)[number]

/** Whether a VM has booted and holds its memory: it can be used at once, or as soon as it has gone on. Pure. */
export const isUp = (state: VmState): boolean => state === 'awake' || state === 'dozing'

/** Whether a VM wakes or goes on when somebody needs it. Pure. */
export const isResting = (state: VmState): boolean => state === 'asleep' || state === 'dozing'

/** The states in which each action is allowed. Shared by daemon, command line and console. */
export const allowed = {
  start: ['stopped', 'crashed', 'starting', 'awake', 'dozing', 'asleep', 'paused'],
  stop: ['starting', 'awake', 'dozing', 'asleep', 'stopping', 'paused', 'stopped', 'crashed'],
  restart: ['awake', 'dozing', 'asleep', 'starting', 'stopped', 'crashed', 'paused'],
  rm: ['stopped', 'starting', 'awake', 'dozing', 'asleep', 'stopping', 'paused', 'crashed', 'leaving'],
  rename: ['stopped', 'awake', 'dozing', 'asleep', 'crashed', 'paused'],
  resize: ['stopped', 'awake', 'dozing', 'crashed'],
  limit: ['stopped', 'awake', 'dozing', 'asleep', 'crashed', 'paused'],
  doze: ['awake', 'dozing'],
  sleep: ['awake', 'dozing', 'asleep'],
  checkpoint: ['awake', 'dozing', 'asleep', 'stopped', 'crashed'],
  restore: ['awake', 'dozing', 'asleep', 'stopped', 'crashed', 'starting', 'paused'],
  enter: ['awake', 'dozing', 'asleep', 'starting', 'paused'],
} as const satisfies Record<string, readonly VmState[]>

export type Action = keyof typeof allowed

/** libvirt's reasons for a pause that QEMU made itself. Such a VM is paused even if it dozed or was about to. */
const pausedByQemu: ReadonlySet<string> = new Set(['io-error', 'watchdog', 'shutting-down', 'api-error'])

/** Derives the state of a VM from what the store wants and what libvirt says. Pure. */
export function vmState(vm: Pick<Vm, 'phase' | 'memory' | 'dozing'>, live: LiveState | undefined): VmState {
  if (vm.phase === 'golden' || vm.phase === 'spare') return 'making'
  if (vm.phase !== 'ready') return vm.phase
  if (!live || live.domain === 'off') return vm.memory ? 'asleep' : 'stopped'
  if (live.domain === 'crashed') return 'crashed'
  if (live.domain === 'paused') {
    if (vm.memory) return 'starting'
    return vm.dozing && !pausedByQemu.has(live.reason) ? 'dozing' : 'paused'
  }
  if (live.stopping) return 'stopping'
  return live.ready ? 'awake' : 'starting'
}

/** Checks an action against the state. @throws CroftError `conflict`, with a hint, when the state does not allow it */
export function checkAllowed(action: Action, name: string, state: VmState): void {
  if ((allowed[action] as readonly VmState[]).includes(state)) return
  throw new CroftError('conflict', `${name} is ${stateWords[state]}.`, {
    hint: advice(action, name, state),
    details: { state },
  })
}

const stateWords: Record<VmState, string> = {
  making: 'still being made',
  stopped: 'stopped',
  starting: 'starting',
  awake: 'awake',
  dozing: 'dozing',
  asleep: 'asleep',
  stopping: 'stopping',
  paused: 'paused',
  crashed: 'crashed',
  leaving: 'being deleted',
}

function advice(action: Action, name: string, state: VmState): string | undefined {
  if (state === 'leaving') return undefined
  if (state === 'making' || state === 'starting' || state === 'stopping') return 'Try again in a moment.'
  if (action === 'enter')
    return state === 'crashed'
      ? `See why with croft logs ${name}, then start it: croft start ${name}`
      : `Start it: croft start ${name}`
  if (state === 'asleep') return `Wake it first: croft wake ${name}`
  return undefined
}
