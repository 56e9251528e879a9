import { setTimeout as delay } from 'node:timers/promises'
import type { Appointment, Vm } from '../../store/index.ts'
import type { Answer } from '../appointment/guest-answer.ts'
import { inquire, nothing } from '../appointment/inquire.ts'
import { type Box, findOperationVm, findVm, type Report, stateOf, without, withVm } from '../box.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { exclusively } from '../operation/exclusively.ts'
import { makeId } from '../vm/identity.ts'
import { checkAllowed } from '../vm/state.ts'
import { goOn } from './doze.ts'
import { describeMemoryOf, savingBytes, trimGuest } from './memory.ts'
import { sleepAborts, unlessNeeded } from './sleep-aborts.ts'

/**
 * Asks a VM what is due in it, saves its memory and frees what it uses of the box. One that dozes has been asked. Does
 * nothing when it is already asleep. Interrupted immediately when somebody needs the VM.
 * @param wanted checked again once the VM's lock is held: false leaves it awake, as does `stays`, by what the guest
 * says
 * @param until what to wake it for, instead of what is due in it
 * @throws CroftError `cancelled` when somebody needs the VM, `disk-full`; the VM then runs on
 */
export async function putToSleep(
  box: Box,
  name: string,
  report: Report,
  wanted: () => boolean = () => true,
  { stays, until }: { stays?(vm: Vm, answer: Answer): boolean; until?: Appointment | undefined } = {},
): Promise<Vm> {
  const { id } = findVm(box.store.state, name)
  await exclusively(box, id, async () => {
    if (!wanted()) return
    const vm = findVm(box.store.state, id)
    const state = stateOf(box, vm)
    checkAllowed('sleep', vm.name, state)
    if (state === 'asleep') return until && box.store.update(withVm(id, { appointment: until }))
    await unlessNeeded(box, vm, async (signal) => {
      const known = { ...nothing, appointment: until ?? vm.appointment }
      const answer = until || state === 'dozing' ? known : await inquire(box, vm, signal)
      signal.throwIfAborted()
      if (!until && stays?.(vm, answer)) return
      if (state === 'dozing') await goOn(box, vm)
      signal.throwIfAborted()
      const { appointment } = answer
      const memory = await describeMemoryOf(box, vm)
      const operation = { id: makeId('op'), kind: 'sleep', startedAt: memory.createdAt, vm: id, memory } as const
      await execute(
        box,
        sleepOperation,
        operation,
        (current) => ({
          ...withVm(id, { memory: memory.id, appointment })(current),
          memories: { ...current.memories, [memory.id]: memory },
        }),
        report,
      )
    })
  })
  return findVm(box.store.state, id)
}

/**
 * `sleep`: the VM's record names the memory from the start, so the VM is asleep as soon as its domain has ended. If the
 * daemon dies while the memory is being saved, the guest runs on; if it dies afterwards, the guest sleeps.
 */
export const sleepOperation: OperationDefinition<OperationOf<'sleep'>> = {
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
        report({ subject: vm.name, step: 'trimming its memory', fraction: 0.1 })
        await box.guests.leave(vm)
        await trimGuest(box, vm, squeezeMs, napOf(box, id)).catch((err) =>
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
        // The next wake must not mistake the paused state of its last moments for the current one.
        await box.live.waitFor(vm.uuid, (live) => live?.domain !== 'running' && live?.domain !== 'paused', 10_000)
      },
      undo: (box, { memory }) => box.files.remove(memory.file),
    },
    { name: 'freeze', run: (box, { memory }) => box.files.freeze(memory.file) },
  ],
  commit: (state) => state,
  rollback: (state, { vm, memory }) => ({
    ...withVm(vm, { memory: null, appointment: null })(state),
    memories: without(state.memories, memory.id),
  }),
}

const squeezeMs = 1500

/** A signal that is aborted when somebody needs the VM. */
function napOf(box: Box, id: string): AbortSignal {
  return sleepAborts(box).get(id)?.signal ?? new AbortController().signal
}

/** Runs `save` and aborts it immediately when somebody needs the VM; the VM then runs on. */
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
