import { z } from 'zod'
import { editVm } from '../../core/vm/edit.ts'
import { CroftError } from '../../lib/error.ts'
import { tagArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { toVmResult, vmResult } from '../results/vm.ts'

export const tagCommand = command({
  name: 'tag',
  summary: 'Add or remove tags',
  examples: ['croft tag web shop live', 'croft tag web --remove live'],
  args: z.object({
    vm: vmArg,
    tags: z.array(tagArg).max(50).optional().describe('Tags to add').meta({ placeholder: 'tag' }),
    remove: z.array(tagArg).max(50).optional().describe('A tag to remove; repeatable'),
  }),
  positional: ['vm', 'tags'],
  result: vmResult,
  touches: 'changes',
  grants: 'membership',
  async run({ box }, { vm: name, tags = [], remove = [] }) {
    const vm = await editVm(box, name, (before) => {
      const after = new Set([...before.tags, ...tags])
      for (const tag of remove) after.delete(tag)
      if (after.size > 50) throw new CroftError('bad-value', 'A VM has at most 50 tags.', { argument: 'tags' })
      return { tags: [...after].sort() }
    })
    return toVmResult(box, vm)
  },
  print: (vm) => `${vm.name}: ${vm.tags.join(', ') || 'no tags'}\n`,
  names: (vm) => [vm.name],
})
