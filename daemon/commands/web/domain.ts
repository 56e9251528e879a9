import { z } from 'zod'
import type { Web } from '../../core/interfaces/web.ts'
import { CroftError } from '../../lib/error.ts'
import type { CustomHost, State } from '../../store/index.ts'
import { hostNameArg } from '../kit/args.ts'
import { webAddress } from '../results/measures.ts'

/** Shared by the `domain` commands. */

export const customHostResult = z.object({
  host: z.string(),
  vm: z.string(),
  /** Null for the port that the VM's plain address leads to. */
  port: z.int().nullable(),
  web: webAddress,
})

export type CustomHostResult = z.infer<typeof customHostResult>

export function describeHost(state: State, web: Web, { host, vm: id, port }: CustomHost): CustomHostResult {
  const vm = state.vms[id]
  return { host, vm: vm?.name ?? id, port, web: vm ? web.address(vm, port) : '' }
}

/** @throws CroftError `not-found` */
export function findHost(state: State, host: string): CustomHost {
  const found = Object.hasOwn(state.hosts, host) ? state.hosts[host] : undefined
  if (found) return found
  throw new CroftError('not-found', `No VM has the host name ${host}.`, { hint: 'croft domain ls shows them.' })
}

export const customHostArg = hostNameArg.describe('A host name that resolves to this box').meta({ placeholder: 'host' })
