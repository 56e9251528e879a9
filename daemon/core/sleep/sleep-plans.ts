import { setTimeout as delay } from 'node:timers/promises'
import { type Box, findOperationVm, specOf, stateOf, without, withVm } from '../box.ts'
import type { OperationOf, Plan } from '../operation/plan.ts'
import { ownDisk } from '../vm/own-disk.ts'
import { letGo, loadMemory, savingBytes, settleIn } from './memory.ts'

/**
 * `sleep`: the VM's record names the memory from the start, which makes it asleep as soon as its domain has ended.
 * Cut off while the memory was being saved, the guest runs on; when it had been saved, it sleeps.
 */
export const sleepPlan: Plan<OperationOf<'sleep'>> = {
  async recovery(box, { vm: id, memory }) {
    const { uuid } = findOperationVm(box, id)
    await box.hypervisor.abortJob(uuid)
    await box.hypervisor.jobDone(uuid)
    const state = await box.hypervisor.state(uuid)
    const over = state === 'off' || state === undefined
    return over && (await box.hypervisor.memoryComplete(memory)) ? 'finish' : 'undo'
  },
  steps: [
    {
      name: 'trim',
      async run(box, { vm: id }, report) {
        const vm = findOperationVm(box, id)
        if (stateOf(box, vm) !== 'awake') return
        report({ subject: vm.name, step: 'letting go of what it does not need', fraction: 0.1 })
        await box.guests.leave(vm)
        await letGo(box, vm, squeezeMs, napOf(box, id)).catch((err) =>
          box.log.warn({ vm: id, err }, 'could not be trimmed before it sleeps'),
        )
      },
    },
    {
      name: 'save',
      async run(box, { vm: id, memory }, report) {
        const vm = findOperationVm(box, id)
        const state = await box.hypervisor.state(vm.uuid)
        if (state === 'off' || state === undefined) return
        report({ subject: vm.name, step: 'saving its memory', fraction: 0.4 })
        await box.governor.expect(await savingBytes(box, vm), () =>
          interruptible(box, vm.id, vm.uuid, () => box.hypervisor.save(vm.uuid, memory)),
        )
        // Whoever wakes it next must not take its last moments, in which it stood still, for its present.
        await box.live.waitFor(vm.uuid, (live) => live?.domain !== 'running' && live?.domain !== 'paused', 10_000)
      },
      undo: (box, { memory }) => box.files.remove(memory.file),
    },
    { name: 'freeze', run: (box, { memory }) => box.files.freeze(memory.file) },
  ],
  end: (state) => state,
  undone: (state, { vm, memory }) => ({
    ...withVm(vm, { memory: null })(state),
    memories: without(state.memories, memory.id),
  }),
}

const squeezeMs = 1500

/** Aborted when somebody needs the VM. */
function napOf(box: Box, id: string): AbortSignal {
  return box.naps.get(id)?.signal ?? new AbortController().signal
}

/** A save that ends at once when somebody needs the VM; it then runs on. */
async function interruptible(box: Box, id: string, uuid: string, save: () => Promise<void>): Promise<void> {
  const signal = napOf(box, id)
  signal.throwIfAborted()
  let saving = true
  const onAbort = async () => {
    // The job may not have begun yet.
    while (saving) {
      await box.hypervisor.abortJob(uuid).catch(() => {})
      await delay(20)
    }
  }
  signal.addEventListener('abort', onAbort)
  try {
    await save()
  } finally {
    saving = false
    signal.removeEventListener('abort', onAbort)
  }
}

/**
 * `wake`: the guest is loaded without running. Only when the store no longer says that it sleeps does it run, for from
 * then on its disk and that memory no longer belong together.
 */
export const wakePlan: Plan<OperationOf<'wake'>> = {
  async recovery(box, { vm: id }) {
    const { uuid } = findOperationVm(box, id)
    const state = await box.hypervisor.state(uuid)
    // It may run with the name of the VM whose memory it was.
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
        await ownDisk(box, vm)
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
        await settleIn(box, vm)
      },
    },
  ],
  end: (state) => state,
}
