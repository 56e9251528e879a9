import { CroftError, isBoxTrouble } from '../../lib/error.ts'
import type { Vm } from '../../store/index.ts'
import { type Box, findVm, imageOf, type Report, stateOf, withVm } from '../box.ts'
import { collect } from '../layer/garbage.ts'
import { carryOut } from '../operation/engine.ts'
import { exclusively } from '../operation/exclusively.ts'
import { awaitAgent, bootVm, makeReady } from '../vm/boot.ts'
import { makeId } from '../vm/identity.ts'
import { goOn } from '../vm/own-disk.ts'
import { checkAllowed } from '../vm/state.ts'
import { describeMemory } from './memory.ts'
import { sleepPlan, wakePlan } from './sleep-plans.ts'

/**
 * Saves a VM's memory and frees what it uses of the box; one that is asleep already is left alone. Interrupted at once
 * by whoever needs the VM.
 * @param wanted asked again once nothing else is under way with it: false leaves it awake
 * @throws CroftError `cancelled` when somebody does, `disk-full`; the VM then runs on
 */
export async function putToSleep(
  box: Box,
  name: string,
  report: Report,
  wanted: () => boolean = () => true,
): Promise<Vm> {
  const { id } = findVm(box.store.state, name)
  await exclusively(box, id, async () => {
    if (!wanted()) return
    const vm = findVm(box.store.state, id)
    const state = stateOf(box, vm)
    checkAllowed('sleep', vm.name, state)
    if (state === 'asleep') return
    const nap = new AbortController()
    box.naps.set(id, nap)
    box.events.publish({ type: 'vm.changed', vm: id, name: vm.name })
    try {
      const memory = describeMemory(await box.hypervisor.hardwareOf(vm.uuid, imageOf(box.store.state, vm)))
      const operation = { id: makeId('op'), kind: 'sleep', startedAt: memory.createdAt, vm: id, memory } as const
      await carryOut(
        box,
        sleepPlan,
        operation,
        (current) => ({
          ...withVm(id, { memory: memory.id })(current),
          memories: { ...current.memories, [memory.id]: memory },
        }),
        report,
      )
    } catch (error) {
      if (!nap.signal.aborted) throw error
      throw new CroftError('cancelled', `${vm.name} is awake: somebody needed it before it was asleep.`)
    } finally {
      box.naps.delete(id)
    }
  })
  return findVm(box.store.state, id)
}

/**
 * Has a VM awake: wakes it, or waits until it has started. Whoever asks while that is under way shares it. The one
 * function for everything that needs a VM.
 * @throws CroftError `conflict` when the VM is shut down, `guest-failed`, `not-found`
 */
export async function ensureAwake(box: Box, name: string, report: Report = () => {}): Promise<Vm> {
  return (await wakeVm(box, name, report)).vm
}

/** The same. @returns also why it had to boot, when its memory was lost */
export async function wakeVm(box: Box, name: string, report: Report): Promise<{ vm: Vm; cold: string | undefined }> {
  const { id } = findVm(box.store.state, name)
  box.uses.note(id, 'somebody needed it')
  const nap = box.naps.get(id)
  nap?.abort()
  let waking = box.waking.get(id)
  // A nap that is under way may be over sooner than it is interrupted.
  if (!waking && (nap || stateOf(box, findVm(box.store.state, id)) !== 'awake')) {
    const turn = box.autostart.want(id)
    const enter = () => exclusively(box, id, () => wake(box, id, report))
    waking = (turn ? turn.then(enter) : enter()).finally(() => box.waking.delete(id))
    box.waking.set(id, waking)
  }
  const cold = await waking
  return { vm: findVm(box.store.state, id), cold }
}

/** Does something in a VM: has it awake before, and in use until it is done. @param why what it is then used by */
export async function inVm<T>(
  box: Box,
  name: string,
  why: string,
  report: Report,
  work: (vm: Vm) => Promise<T>,
): Promise<T> {
  const { id } = findVm(box.store.state, name)
  return box.uses.during(id, why, async () => work(await ensureAwake(box, id, report)))
}

async function wake(box: Box, id: string, report: Report): Promise<string | undefined> {
  const vm = findVm(box.store.state, id)
  const state = stateOf(box, vm)
  checkAllowed('enter', vm.name, state)
  if (state === 'asleep') return box.governor.admit(vm.name, () => wakeUp(box, vm, report))
  if (state === 'paused') await goOn(box, vm)
  if (state === 'starting') {
    await awaitAgent(box, vm, box.settings.bootTimeoutMs)
    await makeReady(box, vm, true)
  }
  return undefined
}

/**
 * Wakes a sleeping VM; its lock is held. When its memory can't be loaded it boots from its disk, as after a power cut.
 * @returns why it had to boot, when it had to
 */
export async function wakeUp(box: Box, vm: Vm, report: Report): Promise<string | undefined> {
  const operation = { id: makeId('op'), kind: 'wake', startedAt: new Date().toISOString(), vm: vm.id } as const
  try {
    await box.loads.run(() => carryOut(box, wakePlan, operation, (state) => state, report))
  } catch (error) {
    const lost = ['off', undefined].includes(await box.hypervisor.state(vm.uuid))
    if (!lost || isBoxTrouble(error)) throw error
    const known = error instanceof CroftError && error.code === 'memory-unusable'
    const why = known ? error.message : 'its saved memory could not be loaded'
    box.log.error({ vm: vm.id, err: error }, 'its memory could not be loaded')
    await box.store.update(withVm(vm.id, { memory: null, power: 'on' }))
    const message = `${vm.name} was started from its disk, as after a power cut: its saved memory could not be loaded.`
    box.events.publish({ type: 'box.warning', vm: vm.id, name: vm.name, message })
    await collect(box)
    await bootVm(box, findVm(box.store.state, vm.id), report)
    return why
  }
  await collect(box)
  return undefined
}
