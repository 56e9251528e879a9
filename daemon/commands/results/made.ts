import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { seconds } from '../../lib/text/units.ts'
import type { Vm } from '../../store/index.ts'
import type { Context, View } from '../kit/command.ts'
import { style } from '../kit/text.ts'
import { sharing } from './sharing.ts'
import { toVmResult, vmResult } from './vm.ts'

/** The result of every command that makes a VM. */
export const madeResult = vmResult.extend({
  tookMs: z.number(),
  /** Why it was booted and not forked; null when it was forked, or when the caller asked for a boot. */
  cold: z.string().nullable(),
})
export type MadeResult = z.infer<typeof madeResult>

/** @param began when the command began, from `performance.now()` */
export function describeMade(
  { box, reached }: Pick<Context, 'box' | 'reached'>,
  { id }: Pick<Vm, 'id'>,
  cold: string | undefined,
  began: number,
): MadeResult {
  const vm = toVmResult(box, findVm(box.store.state, id), reached)
  return { ...vm, tookMs: performance.now() - began, cold: cold ?? null }
}

/**
 * Returns a line that says that a VM had to boot, or ''.
 * @param why a sentence or part of one; null when it did not boot
 */
export function hadToBoot(why: string | null): string {
  if (why === null) return ''
  const part = why.replace(/\.$/, '').replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase())
  return `It had to boot: ${part}.\n`
}

/** Returns the same for a VM that was asleep, whose memory is then lost. */
export const lostMemory = (why: string | null): string =>
  why === null ? '' : `${hadToBoot(why)}Anything that was only in its memory is lost.\n`

export function printMade(vm: MadeResult, view: View): string {
  const name = style(view, 'bold', vm.name)
  if (vm.state === 'stopped') return `${name} is made. Start it: ${view.croft} start ${vm.name}\n`
  if (vm.state === 'asleep')
    return `${name} is made, and asleep. It wakes when you enter it, or: ${view.croft} wake ${vm.name}\n`
  const shell = [...(view.croft === 'croft' ? [`croft ssh ${vm.name}`] : []), ...(vm.ssh ? [vm.ssh] : [])]
  return (
    `${name} is ready, in ${seconds(vm.tookMs)}.\n${hadToBoot(vm.cold)}` +
    `  ${style(view, 'dim', 'shell')}   ${shell.join('   or   ')}\n` +
    `  ${style(view, 'dim', 'run')}     ${view.croft} exec ${vm.name} uname -a\n` +
    (vm.web ? `  ${style(view, 'dim', 'web')}     ${vm.web}   ${sharing(vm)}\n` : '')
  )
}
