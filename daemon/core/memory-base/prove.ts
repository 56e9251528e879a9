import { setTimeout as delay } from 'node:timers/promises'
import { asCroftError, CroftError } from '../../lib/error.ts'
import { bytes } from '../../lib/text/units.ts'
import type { Checkpoint, State, Vm } from '../../store/index.ts'
import { type Box, findOperationVm } from '../box.ts'
import { withRoom } from '../layer/room.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { loadNew } from '../sleep/memory.ts'
import { makeId } from '../vm/identity.ts'
import { preparation, unprepare } from '../vm/preparation.ts'
import { makeLayer, withoutVm, withRecord } from '../vm/record.ts'
import { isPassing } from './make.ts'

/**
 * Tries on this box, with its QEMU, whether guests can map memory bases, and stores the answer: a VM of Croft's own maps
 * the base of a golden checkpoint, works, and frees memory. Its memory must be what it wrote, the freed memory must come
 * back to the box, and the base must stay as it was.
 * @param golden its memory has a base
 * @throws CroftError `disk-full`, `no-room`, `cancelled`: that says nothing about memory bases, and nothing is stored
 */
export async function proveMemoryLayers(box: Box, golden: Checkpoint): Promise<void> {
  const began = performance.now()
  const result = await tryOut(box, golden).then(
    () => ({ works: true, why: 'a test VM shared memory, worked, and gave memory back' }),
    (error) => {
      if (isPassing(error)) throw error
      return { works: false, why: asCroftError(error).message }
    },
  )
  const { qemu } = box.store.state.memories[golden.memory!]!.hardware
  const checkedAt = new Date().toISOString()
  await box.store.update((state) => ({ ...state, memoryLayers: { ...result, qemu, checkedAt } }))
  box.log.info({ ...result, ms: Math.round(performance.now() - began) }, 'tried whether memory can be shared in layers')
}

/** Tries again with the latest golden checkpoint that has a base, if there is one. */
export async function proveAgain(box: Box): Promise<void> {
  await box.locks.run('golden', async () => {
    const { checkpoints, memories } = box.store.state
    const golden = Object.values(checkpoints).findLast(
      ({ kind, memory }) => kind === 'golden' && memories[memory ?? '']?.base,
    )
    if (golden) await proveMemoryLayers(box, golden)
  })
}

async function tryOut(box: Box, golden: Checkpoint): Promise<void> {
  const id = makeId('vm')
  const startedAt = new Date().toISOString()
  const operation = { id: makeId('op'), kind: 'proof', startedAt, vm: id, from: golden.id } as const
  const { image, limits, memory, layer } = golden
  const vm = { id, name: 'proof', image, limits, memory, phase: 'spare', power: 'off' } as const
  const begin = (state: State) => withRecord(box, state, vm, makeLayer(layer, startedAt))
  const never = new AbortController().signal
  const prove = (ends: AbortSignal) => execute(box, proofOperation, operation, begin, undefined, ends)
  await box.governor.admit('a test VM', () => box.locks.run(id, () => withRoom(box, 'a test VM', never, prove)))
}

/** `proof`: makes the VM, lets it work and removes it. */
export const proofOperation: OperationDefinition<OperationOf<'proof'>> = {
  recovery: 'undo',
  steps: [
    ...preparation,
    {
      name: 'load',
      run: (box, { vm }) => loadNew(box, findOperationVm(box, vm), true),
      undo: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid),
    },
    { name: 'work', run: (box, { vm }) => work(box, findOperationVm(box, vm)) },
    { name: 'remove', run: unprepare },
  ],
  commit: (state, { vm }) => withoutVm(state, vm),
  rollback: (state, { vm }) => withoutVm(state, vm),
}

const MiB = 2 ** 20
const freedMiB = 160
/** The least of it that must come back: meanwhile, an emulator translates more code. */
const leastMiB = freedMiB / 2
/** How soon memory that a guest has freed must be back: it reports free pages every two seconds. */
const freedMs = 60_000

/** Writes, and takes much memory; prints the sum of what it wrote. */
const takeScript = `head -c 16M /dev/urandom > /dev/shm/croft-written
head -c ${freedMiB}M /dev/zero > /dev/shm/croft-taken
sha256sum < /dev/shm/croft-written`
/** Frees it, and prints the sum again. */
const freeScript = `rm /dev/shm/croft-taken
echo 1 > /proc/sys/vm/compact_memory
sha256sum < /dev/shm/croft-written`

async function work(box: Box, vm: Vm): Promise<void> {
  const base = box.store.state.memoryBases[box.store.state.memories[vm.memory!]!.base!]!
  const own = async () => (await box.hypervisor.stats()).get(vm.uuid)?.ownBytes ?? 0
  const before = await own()
  const { stdout: written } = await box.guests.script(vm.uuid, takeScript, 120_000)
  const most = await own()
  if (most < before + leastMiB * MiB) throw failed(`what it takes is not its own (${bytes(before)}, ${bytes(most)})`)
  const { stdout: read } = await box.guests.script(vm.uuid, freeScript, 120_000)
  if (!/^[0-9a-f]{64} /.test(written) || written !== read) throw failed('it read other data than it had written')
  const deadline = performance.now() + freedMs
  for (let now = await own(); now > most - leastMiB * MiB; now = await own()) {
    if (performance.now() > deadline)
      throw failed(`memory that it freed did not come back (${bytes(before)}, ${bytes(most)} with it, ${bytes(now)})`)
    await delay(500)
  }
  await box.hypervisor.checkBase(base)
}

const failed = (why: string): CroftError =>
  new CroftError('unavailable', `A test VM mapped its memory base, but ${why}.`)
