import { z } from 'zod'
import { type Box, findVm } from '../../core/box.ts'
import type { Host } from '../../core/interfaces/host.ts'
import type { Web } from '../../core/interfaces/web.ts'
import { ensureAwake } from '../../core/sleep/wake.ts'
import { editVm } from '../../core/vm/edit.ts'
import { CroftError } from '../../lib/error.ts'
import type { Link, Vm } from '../../store/index.ts'
import { webAddress } from '../results/measures.ts'

/** Shared by the `share` commands. */

export const linkResult = z.object({
  id: z.string(),
  vm: z.string(),
  web: webAddress,
  name: z.string(),
  createdAt: z.string(),
  expiresAt: z.string(),
})

export const shareResult = z.object({
  vm: z.string(),
  /** The port that its plain address leads to; null for one that listens. */
  port: z.int().nullable(),
  web: webAddress,
  public: z.array(z.object({ port: z.int(), web: webAddress })),
  links: z.array(linkResult),
})

export type ShareResult = z.infer<typeof shareResult>

/** @throws CroftError `unavailable` when the box has no web addresses */
export function webOf(host: Host): Web {
  if (host.web.on) return host.web
  throw new CroftError('unavailable', 'This box has no web addresses.', {
    hint: 'The configuration turns them off: remove "web": false from it, then run install.sh again.',
  })
}

export function describeLink(web: Web, vm: Vm, link: Link): z.output<typeof linkResult> {
  const { id, name, port, createdAt, expiresAt } = link
  return { id, vm: vm.name, web: web.address(vm, port), name, createdAt, expiresAt }
}

/**
 * Returns the address that opens a port for everybody with access: the plain address only if it is set to that port. A
 * plain address that leads to whatever port listens is private.
 */
export const portAddress = (web: Web, vm: Vm, port: number): string =>
  web.address(vm, port === vm.web.port ? null : port)

export function shareOf(web: Web, vm: Vm): ShareResult {
  const ports = vm.web.public.toSorted((a, b) => a - b)
  return {
    vm: vm.name,
    links: web.linksOf(vm).map((link) => describeLink(web, vm, link)),
    port: vm.web.port,
    web: web.address(vm),
    public: ports.map((port) => ({ port, web: portAddress(web, vm, port) })),
  }
}

/** Changes the web settings of a VM. */
export async function changeWeb(box: Box, name: string, change: (web: Vm['web']) => Vm['web']): Promise<Vm> {
  return editVm(box, name, (vm) => ({ web: change(vm.web) }))
}

/**
 * Returns the port to share: the given one, otherwise the VM's main port. If no main port is set, it looks for one that
 * listens; the caller should then set it, so that the shared port cannot change later.
 * @throws CroftError `conflict` when none listens
 */
export async function meantPort(box: Box, web: Web, name: string, port: number | undefined): Promise<number> {
  const vm = findVm(box.store.state, name)
  if (port !== undefined) return port
  if (vm.web.port !== null) return vm.web.port
  const found = await web.findPort(await ensureAwake(box, vm.id))
  if (found !== undefined) return found
  throw new CroftError('conflict', `Nothing is listening in ${vm.name}, so there is nothing to open.`, {
    hint: `Start a server in it, or name the port: croft share public ${vm.name} 8000`,
  })
}
