import { CroftError } from '../error.ts'
import type { Vm } from '../store/index.ts'
import type { LiveState } from './live.ts'

/**
 *            new                    start                     guest agent answers
 *   making ───────▶ stopped ─────────────────▶ starting ───────────────────────────▶ awake
 *                    ▲  ▲                         │                                   │  ▲
 *                    │  └──────────── stop, or the guest powers off ◀── stopping ◀────┤  │ resume
 *                    │ start                                                          ▼  │
 *                 crashed ◀──────────── the guest panics, or QEMU ends ───────────  paused
 *
 *   leaving: `rm` has begun; the VM is on its way out and nothing else may be done to it.
 */
export const vmStates = ['making', 'stopped', 'starting', 'awake', 'stopping', 'paused', 'crashed', 'leaving'] as const
export type VmState = (typeof vmStates)[number]

/** What can be asked of a VM in which state. Shared by daemon, command line and console. */
export const allowed = {
  start: ['stopped', 'crashed', 'starting', 'awake', 'paused'],
  stop: ['starting', 'awake', 'stopping', 'paused', 'stopped', 'crashed'],
  restart: ['awake', 'starting', 'stopped', 'crashed', 'paused'],
  rm: ['stopped', 'starting', 'awake', 'stopping', 'paused', 'crashed', 'leaving'],
  rename: ['stopped', 'awake', 'crashed', 'paused'],
  resize: ['stopped', 'awake', 'crashed'],
  enter: ['awake'],
} as const satisfies Record<string, readonly VmState[]>

export type Action = keyof typeof allowed

/** The state of a VM from what the store wants and what libvirt says. Pure. */
export function vmState(vm: Pick<Vm, 'phase'>, live: LiveState | undefined): VmState {
  if (vm.phase !== 'ready') return vm.phase
  if (!live || live.domain === 'off') return 'stopped'
  if (live.domain === 'crashed') return 'crashed'
  if (live.domain === 'paused') return 'paused'
  if (live.stopping) return 'stopping'
  return live.ready ? 'awake' : 'starting'
}

/** @throws CroftError `conflict` when the action makes no sense in this state, saying what would. */
export function checkAllowed(action: Action, name: string, state: VmState): void {
  if ((allowed[action] as readonly VmState[]).includes(state)) return
  throw new CroftError('conflict', `${name} is ${describe[state]}.`, {
    hint: advice(action, name, state),
    details: { state },
  })
}

const describe: Record<VmState, string> = {
  making: 'still being made',
  stopped: 'stopped',
  starting: 'starting',
  awake: 'awake',
  stopping: 'stopping',
  paused: 'paused',
  crashed: 'crashed',
  leaving: 'being deleted',
}

function advice(action: Action, name: string, state: VmState): string | undefined {
  if (state === 'leaving') return undefined
  if (state === 'making' || state === 'starting' || state === 'stopping') return 'It takes a moment; then try again.'
  if (action === 'enter')
    return state === 'crashed'
      ? `croft logs ${name} says why; croft start ${name} starts it.`
      : `Start it: croft start ${name}`
  return undefined
}
