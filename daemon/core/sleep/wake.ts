import { CroftError, isBoxTrouble } from '../../lib/error.ts'
import type { Vm } from '../../store/index.ts'
import { type Box, findOperationVm, findVm, type Report, specOf, stateOf, withVm } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { exclusively } from '../operation/exclusively.ts'
import { perBox } from '../per-box.ts'
import { awaitAgent, bootVm, makeReady } from '../vm/boot.ts'
import { makeId } from '../vm/identity.ts'
import { lendOwnDisk } from '../vm/own-disk.ts'
import { checkAllowed } from '../vm/state.ts'
import { goOn } from './doze.ts'
import { loadMemory, loads, waitUntilReady } from './memory.ts'
import { sleepAborts } from './sleep-aborts.ts'

/** VMs that are being woken, by id, shared by all callers that need them awake. */
const wakings = perBox(() => new Map<string, Promise<string | undefined>>())

export const isWaking = (box: Box, id: string): boolean => wakings(box).has(id)

/**
 * Makes sure that a VM is awake: has it go on or wakes it, or waits until it has started. Callers that ask meanwhile
 * share the result. Everything that needs a VM awake goes through here.
 * @throws CroftError `conflict` when the VM is shut down, `guest-failed`, `not-found`
 */
export async function ensureAwake(box: Box, name: string, report: Report = () => {}): Promise<Vm> {
  return (await wakeVm(box, name, report)).vm
}

/** Does the same as `ensureAwake`. @returns also why the VM had to boot, when its memory was lost */
export async function wakeVm(box: Box, name: string, report: Report): Promise<{ vm: Vm; cold: string | undefined }> {
  const { id } = findVm(box.store.state, name)
  box.usage.note(id, 'somebody needed it')
  const nap = sleepAborts(box).get(id)
  nap?.abort()
  let waking = wakings(box).get(id)
  const vm = findVm(box.store.state, id)
  // A nap that is under way may be done before the abort reaches it, and a doze can't be aborted.
  if (!waking && (nap || vm.dozing || stateOf(box, vm) !== 'awake')) {
    const turn = box.autostart.want(id)
    const enter = () => exclusively(box, id, () => wake(box, id, report))
    waking = (turn ? turn.then(enter) : enter()).finally(() => wakings(box).delete(id))
    wakings(box).set(id, waking)
  }
  const cold = await waking
  return { vm: findVm(box.store.state, id), cold }
}

/** Wakes a VM, does `work` in it, and counts it as in use until that is done. @param why what uses it meanwhile */
export async function inVm<T>(
  box: Box,
  name: string,
  why: string,
  report: Report,
  work: (vm: Vm) => Promise<T>,
): Promise<T> {
  const { id } = findVm(box.store.state, name)
  return box.usage.during(id, why, async () => work(await ensureAwake(box, id, report)))
}

async function wake(box: Box, id: string, report: Report): Promise<string | undefined> {
  const vm = findVm(box.store.state, id)
  const state = stateOf(box, vm)
  checkAllowed('enter', vm.name, state)
  if (state === 'asleep') return box.governor.admit(vm.name, () => wakeUp(box, vm, report))
  if (state === 'dozing' || state === 'paused') await goOn(box, vm)
  if (state === 'starting') {
    await awaitAgent(box, vm, box.settings.bootTimeoutMs)
    await makeReady(box, vm, true)
  }
  return undefined
}

/**
 * Wakes a sleeping VM; the caller holds its lock. When its memory can't be loaded it boots from its disk, as after a
 * power cut. @returns why it had to boot, if it had to
 */
export async function wakeUp(box: Box, vm: Vm, report: Report): Promise<string | undefined> {
  const operation = { id: makeId('op'), kind: 'wake', startedAt: new Date().toISOString(), vm: vm.id } as const
  try {
    await loads(box).run(() => execute(box, wakeOperation, operation, (state) => state, report))
  } catch (error) {
    const lost = ['off', undefined].includes(await box.hypervisor.state(vm.uuid))
    if (!lost || isBoxTrouble(error)) throw error
    const known = error instanceof CroftError && error.code === 'memory-unusable'
    const why = known ? error.message : 'its saved memory could not be loaded'
    box.log.error({ vm: vm.id, err: error }, 'its memory could not be loaded')
    await box.store.update(withVm(vm.id, { memory: null, power: 'on' }))
    const message = `${vm.name} was started from its disk, as after a power cut: its saved memory could not be loaded.`
    box.events.publish({ type: 'box.warning', vm: vm.id, name: vm.name, message })
    await collectGarbage(box)
    await bootVm(box, findVm(box.store.state, vm.id), report)
    return why
  }
  await collectGarbage(box)
  return undefined
}

/**
 * `wake`: the guest is loaded paused. It runs only once the store no longer says that it sleeps, because from then on
 * its disk and that memory no longer match.
 */
export const wakeOperation: OperationDefinition<OperationOf<'wake'>> = {
  async recovery(box, { vm: id }) {
    const { uuid } = findOperationVm(box, id)
    const state = await box.hypervisor.state(uuid)
    // It may run with the identity of the VM whose memory was loaded.
    box.live.mark(uuid, { ready: false })
    return state === 'running' || state === 'paused' ? 'finish' : 'undo'
  },
  steps: [
    {
      name: 'load',
      async run(box, { vm: id }, report) {
        const vm = findOperationVm(box, id)
        const state = await box.hypervisor.state(vm.uuid)
        if (state === 'running' || state === 'paused') return
        report({ subject: vm.name, step: 'loading its memory', fraction: 0.2 })
        await lendOwnDisk(box, vm)
        await Promise.all([box.network.add(vm), box.hypervisor.define(specOf(box.store.state, vm))])
        await loadMemory(box, vm, box.store.state.memories[vm.memory!]!, 'paused')
      },
    },
    { name: 'consume', run: (box, { vm }) => box.store.update(withVm(vm, { memory: null, power: 'on' })) },
    { name: 'resume', run: (box, { vm }) => box.hypervisor.resume(findOperationVm(box, vm).uuid) },
    {
      name: 'settle',
      async run(box, { vm: id }, report) {
        const vm = findOperationVm(box, id)
        report({ subject: vm.name, step: 'telling it what time it is', fraction: 0.8 })
        await waitUntilReady(box, vm)
      },
    },
  ],
  commit: (state) => state,
}
