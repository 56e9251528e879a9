import type { Checkpoint, State, Vm } from '../../store/index.ts'
import { type Box, findOperationVm, imageOf, type Report, type Spares, specOf, withVm } from '../box.ts'
import { collectGarbage } from '../layer/garbage.ts'
import type { OperationDefinition, OperationOf } from '../operation/definition.ts'
import { execute } from '../operation/engine.ts'
import { loadNew, waitUntilReady } from '../sleep/memory.ts'
import { makeId } from '../vm/identity.ts'
import { growTo, preparation, unprepare } from '../vm/preparation.ts'
import { applyShares, initialShares } from '../vm/qos.ts'
import { descriptionOf, type ForkOptions, makeLayer, newName, withoutVm, withRecord } from '../vm/record.ts'
import { rmOperation } from '../vm/remove.ts'
import { findGolden } from './golden.ts'

/** After `new`, people usually enter the VM next; making the next spare meanwhile would slow them down. */
const quietMs = 5_000

/**
 * Keeps spares: forks of the default image's golden checkpoint that wait, loaded and paused, for the next `new`, which
 * then only has to tell one its identity. Each already has an address, keys and a disk of its own; its name is only a
 * placeholder.
 * @param box returns the box, which does not exist yet when this is called
 */
export function keepSpares(box: () => Box): Spares {
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  return {
    refresh() {
      clearTimeout(timer)
      if (stopped) return
      timer = setTimeout(() => {
        provide(box()).catch((err) => box().log.warn({ err }, 'could not make a spare'))
      }, quietMs).unref()
    },
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}

/** Returns the existing spares. Pure. */
function sparesOf(state: State): Vm[] {
  return Object.values(state.vms).filter((vm) => vm.phase === 'spare')
}

/** Whether a spare is loaded and is a fork of this golden checkpoint (named by its `checkpoint`). */
function fits(box: Box, spare: Vm, golden: Checkpoint | undefined): boolean {
  return spare.checkpoint === golden?.id && box.live.get(spare.uuid)?.domain === 'paused'
}

async function provide(box: Box): Promise<void> {
  await box.locks.run('spares', async () => {
    if (box.hypervisor.trouble()) return
    const golden = await defaultGolden(box)
    const { level } = box.governor.now()
    for (const spare of sparesOf(box.store.state))
      if (level !== 'plenty' || !fits(box, spare, golden)) await drop(box, spare)
    // Checked again before each, because each takes memory.
    const wanted = () => box.governor.now().level === 'plenty' && sparesOf(box.store.state).length < box.settings.spares
    while (golden && wanted()) await make(box, golden)
  })
}

async function defaultGolden(box: Box): Promise<Checkpoint | undefined> {
  const { defaults, spares } = box.settings
  const image = Object.values(box.store.state.images).find((each) => each.current && each.name === defaults.image)
  if (spares === 0 || !image) return undefined
  return findGolden(box.store.state, image, await box.hypervisor.hardware(image, defaults))
}

async function make(box: Box, golden: Checkpoint): Promise<void> {
  const id = makeId('vm')
  const startedAt = new Date().toISOString()
  const operation = { id: makeId('op'), kind: 'spare', startedAt, vm: id, from: golden.id } as const
  const { image, limits, memory, layer } = golden
  const vm = { id, name: 'spare', image, limits, memory, phase: 'spare', power: 'off' } as const
  await box.locks.run(id, () =>
    execute(box, spareOperation, operation, (state) => withRecord(box, state, vm, makeLayer(layer, startedAt))),
  )
}

async function drop(box: Box, { id, uuid }: Vm): Promise<void> {
  await box.locks.run(id, async () => {
    if (box.store.state.vms[id]?.phase !== 'spare') return
    const operation = { id: makeId('op'), kind: 'rm', startedAt: new Date().toISOString(), vm: id } as const
    await execute(box, rmOperation, operation, withVm(id, { phase: 'leaving' }))
    box.live.forget(uuid)
  })
  await collectGarbage(box)
}

/**
 * Turns a spare of a golden checkpoint into the requested VM.
 * @returns undefined when there is no spare, or when it turned out not to work; it is then removed
 * @throws CroftError `bad-name`, `name-taken`
 */
export async function claimSpare(
  box: Box,
  golden: Checkpoint,
  options: ForkOptions,
  report: Report,
): Promise<Vm | undefined> {
  const spare = sparesOf(box.store.state).find((each) => fits(box, each, golden) && !box.locks.isLocked(each.id))
  box.spares.refresh()
  if (!spare) return undefined
  const { id } = spare
  const now = new Date().toISOString()
  const operation = { id: makeId('op'), kind: 'claim', startedAt: now, vm: id, from: golden.id } as const
  const { limits, power } = options
  const begin = (state: State) => {
    const name = newName(state, options.name)
    const described = { ...descriptionOf(options), name, limits, power, createdAt: now }
    const used = state.checkpoints[golden.id] && { [golden.id]: { ...golden, usedAt: now } }
    return {
      ...withVm(id, { ...described, checkpoint: null, phase: 'making' })(state),
      checkpoints: { ...state.checkpoints, ...used },
    }
  }
  newName(box.store.state, options.name)
  try {
    await box.locks.run(id, () => execute(box, claimOperation, operation, begin, report))
  } catch (err) {
    box.log.warn({ vm: id, err }, 'a spare could not be used')
    return undefined
  }
  box.events.publish({ type: 'vm.new', vm: id, name: box.store.state.vms[id]!.name })
  return box.store.state.vms[id]
}

/**
 * Makes a spare: a fork of a golden checkpoint that knows its address and keys, has been entered once by SSH, and is
 * paused. At its first login, everything that a login needs has already been read and started.
 */
export const spareOperation: OperationDefinition<OperationOf<'spare'>> = {
  recovery: 'undo',
  steps: [
    ...preparation,
    {
      name: 'load',
      run: (box, { vm }) => loadNew(box, findOperationVm(box, vm)),
      undo: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid),
    },
    {
      name: 'enter',
      async run(box, { vm: id }) {
        const vm = findOperationVm(box, id)
        await box.guests.enter(vm, imageOf(box.store.state, vm).user)
      },
    },
    {
      name: 'pause',
      async run(box, { vm: id }) {
        const { uuid } = findOperationVm(box, id)
        box.live.mark(uuid, { ready: false })
        await box.hypervisor.pause(uuid)
        await box.live.waitFor(uuid, (live) => live?.domain !== 'running', 10_000)
      },
    },
  ],
  commit: (state, { vm, from }) => withVm(vm, { phase: 'spare', memory: null, checkpoint: from })(state),
  rollback: (state, { vm }) => withoutVm(state, vm),
}

/** `new` with a spare: resumes it and tells it its name and whatever else has changed. */
export const claimOperation: OperationDefinition<OperationOf<'claim'>> = {
  recovery: 'undo',
  steps: [
    {
      name: 'run',
      async run(box, { vm: id, from }, report) {
        const vm = findOperationVm(box, id)
        report({ subject: vm.name, step: 'telling it who it is', fraction: 0.5 })
        const defined = box.hypervisor.define(specOf(box.store.state, vm))
        await applyShares(box, vm, initialShares)
        await box.hypervisor.resume(vm.uuid)
        await Promise.all([defined, waitUntilReady(box, vm)])
        await growTo(box, vm, box.store.state.checkpoints[from]?.limits.diskGiB ?? 0)
      },
      undo: unprepare,
    },
  ],
  commit: (state, { vm }) => withVm(vm, { phase: 'ready' })(state),
  rollback: (state, { vm }) => withoutVm(state, vm),
}
