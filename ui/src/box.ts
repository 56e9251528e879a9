import { signal } from '@preact/signals'
import type { UsageResult, VmResult } from '../../daemon/commands/results/vm.ts'
import type { HostUsage } from '../../daemon/core/interfaces/metrics.ts'
import { type ApiProblem, call } from './api.ts'
import { kept } from './kept.ts'

/**
 * What the console knows of the box: polled every two seconds while the page is visible, and updated immediately by
 * events.
 */
export type VmView = VmResult & UsageResult

/** Undefined until the box has answered for the first time. */
export const vms = signal<readonly VmView[] | undefined>(undefined)
export const usage = signal<HostUsage | undefined>(undefined)
/** Why the box can't be reached; undefined while it can. */
export const trouble = signal<ApiProblem | undefined>(undefined)
/** Grows with each event, for views that show more than `ls` returns. */
export const happened = signal(0)
/** Grows with each entry of the activity log. */
export const noted = signal(0)

const everyMs = 2000

let asking = false
let again = false

/** Loads everything. A call during a running one makes that one run once more. */
export async function refresh(): Promise<void> {
  if (asking) {
    again = true
    return
  }
  asking = true
  try {
    const told = await call<{ vms: VmView[]; box: HostUsage }>('ls')
    vms.value = kept(vms.peek(), told.vms)
    usage.value = told.box
    trouble.value = undefined
  } catch (error) {
    trouble.value = error as ApiProblem
  } finally {
    asking = false
    if (again) {
      again = false
      void refresh()
    }
  }
}

function follow(): void {
  const events = new EventSource('/api/events')
  const on = (type: string, heard: (event: { vm?: string; state?: VmView['state']; reason?: string }) => void) =>
    events.addEventListener(type, (message) => {
      happened.value++
      heard(JSON.parse((message as MessageEvent<string>).data))
    })
  on('vm.state', ({ vm: id, state }) => {
    if (state) vms.value = vms.value?.map((vm) => (vm.id === id ? { ...vm, state } : vm))
    void refresh()
  })
  for (const type of ['state', 'vm.new', 'vm.removed', 'vm.changed', 'image.new', 'image.removed', 'image.golden'])
    on(type, () => void refresh())
  events.addEventListener('activity', () => noted.value++)
  events.onerror = () => {
    void refresh()
    // The browser gives up when the answer is no event stream (a proxy's page, or 403 when the session has ended).
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, everyMs)
  }
}

/** Starts watching the box; called once. */
export function watch(): void {
  follow()
  void refresh()
  setInterval(() => {
    if (!document.hidden) void refresh()
  }, everyMs)
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) void refresh()
  })
}

export const shownVm = (name: string): VmView | undefined => vms.value?.find((vm) => vm.name === name)

/** Returns `wish`, or the first of `wish-2`, `wish-3`, … that no VM has. */
export function freeName(wish: string): string {
  for (let i = 1; ; i++) {
    const name = i === 1 ? wish : `${wish}-${i}`
    if (!shownVm(name)) return name
  }
}
