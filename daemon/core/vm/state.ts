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
 *                                           asleep ◀── sleep: from awake ─────────────┘
 *
 *   `new` and `cp` of a checkpoint with memory begin asleep, and wake.
 *   leaving: `rm` has begun; nothing else may be done to the VM.
 */
export const vmStates = [
  'making',
  'stopped',
  'starting',
  'awake',
  'asleep',
  'stopping',
  'paused',
  'crashed',
  'leaving',
] as const
export type VmState = (typeof vmStates)[number]

/** The states in which each action is allowed. Shared by daemon, command line and console. */
export const allowed = {
  start: ['stopped', 'crashed', 'starting', 'awake', 'asleep', 'paused'],
  stop: ['starting', 'awake', 'asleep', 'stopping', 'paused', 'stopped', 'crashed'],
  restart: ['awake', 'asleep', 'starting', 'stopped', 'crashed', 'paused'],
  rm: ['stopped', 'starting', 'awake', 'asleep', 'stopping', 'paused', 'crashed', 'leaving'],
  rename: ['stopped', 'awake', 'asleep', 'crashed', 'paused'],
  resize: ['stopped', 'awake', 'crashed'],
  limit: ['stopped', 'awake', 'asleep', 'crashed', 'paused'],
  sleep: ['awake', 'asleep'],
  checkpoint: ['awake', 'asleep', 'stopped', 'crashed'],
  restore: ['awake', 'asleep', 'stopped', 'crashed', 'starting', 'paused'],
  enter: ['awake', 'asleep', 'starting', 'paused'],
} as const satisfies Record<string, readonly VmState[]>

export type Action = keyof typeof allowed

/** Derives the state of a VM from what the store wants and what libvirt says. Pure. */
export function vmState(vm: Pick<Vm, 'phase' | 'memory'>, live: LiveState | undefined): VmState {
  if (vm.phase === 'golden' || vm.phase === 'spare') return 'making'
  if (vm.phase !== 'ready') return vm.phase
  if (!live || live.domain === 'off') return vm.memory ? 'asleep' : 'stopped'
  if (live.domain === 'crashed') return 'crashed'
  if (live.domain === 'paused') return vm.memory ? 'starting' : 'paused'
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
