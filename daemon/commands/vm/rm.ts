import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { checkpointsOf } from '../../core/checkpoint/find.ts'
import { readDiskUse } from '../../core/layer/disk-use.ts'
import { removeVm } from '../../core/vm/remove.ts'
import { bytes } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'

export const rmCommand = command({
  name: 'rm',
  summary: 'Delete a VM and its disk',
  examples: ['croft rm old-idea', 'croft rm old-idea --yes'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: z.object({ name: z.string(), id: z.string() }),
  touches: 'destroys',
  async confirm(box, { vm: name }) {
    const vm = findVm(box.store.state, name)
    const { state } = box.store
    // Counts every layer that only this VM and its checkpoints use: after a copy or checkpoint the top one is tiny.
    const { parts } = await readDiskUse(box)
    const own = parts.find(({ kind, id }) => kind === 'vm' && id === vm.id)?.ownBytes ?? 0
    const checkpoints = checkpointsOf(state, vm).length
    const hosts = Object.values(state.hosts).flatMap((each) => (each.vm === vm.id ? each.host : []))
    const what = [
      `${bytes(own)} on disk`,
      ...(checkpoints ? [`${checkpoints} checkpoint${checkpoints === 1 ? '' : 's'}`] : []),
      ...(hosts.length ? [`its own address ${hosts.join(', ')}`] : []),
      ...(vm.web.public.length ? [`its public port ${vm.web.public.join(', ')}`] : []),
    ]
    const all = new Intl.ListFormat('en').format(what)
    return `This deletes ${vm.name}: ${all}. It can't be undone. Delete it?`
  },
  async run({ box }, { vm }) {
    const { id, name } = findVm(box.store.state, vm)
    await removeVm(box, id)
    return { name, id }
  },
  print: ({ name }) => `${name} is deleted.\n`,
  names: ({ name }) => [name],
})
