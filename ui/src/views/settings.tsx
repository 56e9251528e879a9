import { useSignal } from '@preact/signals'
import type { StatResult } from '../../../daemon/commands/stat.ts'
import { ago, mebibytes } from '../../../daemon/units.ts'
import { type Vm, vmNamed } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Field } from '../parts.tsx'
import { go, vmPath } from '../route.ts'

/** What a VM is, and its name to change. */
export function Settings({ vm }: { vm: Vm }) {
  const { value } = useCommand<StatResult>('stat', { vm: vm.name }, 5000)
  const name = useSignal(vm.name)
  const to = name.value.trim()
  const taken = to !== vm.name && vmNamed(to) !== undefined
  const rows: [string, string][] = [
    ['limits', `${vm.cpus} CPUs, ${mebibytes(vm.memoryMiB)} memory, ${vm.diskGiB} GiB disk`],
    ['image', vm.image],
    ['address', vm.address],
    [
      'environment',
      Object.entries(vm.env)
        .map(([key, text]) => `${key}=${text}`)
        .join('\n') || 'none',
    ],
    ['tags', vm.tags.map((tag) => `#${tag}`).join(' ') || 'none'],
    ['sleep', value ? (value.sleepAfter === 0 ? 'never' : `after ${value.sleepAfter} min without use`) : '…'],
    [
      'awake because of',
      value?.use ? `${value.use.why}${value.use.now ? ', now' : `, ${ago(value.use.at, new Date())}`}` : '–',
    ],
    ['id', vm.id],
  ]
  return (
    <>
      <dl class="facts">
        {rows.map(([title, says]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd class="mono">{says}</dd>
          </div>
        ))}
      </dl>
      <p class="buttons">
        <Field id="rename" label="Name" of={name} mono />
        <Act
          disabled={to === vm.name || !to || taken}
          action={{ command: 'rename', args: { vm: vm.name, to }, done: `it is called ${to}` }}
          after={() => go(vmPath(to, 'settings'), 'replace')}
        >
          Rename
        </Act>
        {taken && <span class="bad">There is a VM called {to} already.</span>}
      </p>
    </>
  )
}
