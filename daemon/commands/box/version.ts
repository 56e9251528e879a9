import { z } from 'zod'
import { command } from '../kit/command.ts'
import { facts } from '../kit/text.ts'

export const versionCommand = command({
  name: 'version',
  summary: 'Show the versions of Croft, Node.js, libvirt and QEMU',
  examples: ['croft version'],
  args: z.object({}),
  result: z.object({ croft: z.string(), node: z.string(), libvirt: z.string(), qemu: z.string() }),
  touches: 'nothing',
  run: ({ host }) => host.versions(),
  print: ({ croft, node, libvirt, qemu }, view) =>
    `croft ${croft}\n${facts(
      [
        ['node', node],
        ['libvirt', libvirt],
        ['qemu', qemu],
      ],
      view,
    )}`,
})
