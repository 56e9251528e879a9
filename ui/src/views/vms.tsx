import { signal, useComputed, useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { bytes } from '../../../daemon/units.ts'
import { actionsOf } from '../actions.ts'
import { type Vm, vms } from '../box.ts'
import { Act, Copy, Empty, State } from '../parts.tsx'
import { go, vmPath } from '../route.ts'

type Sort = 'name' | 'state' | 'cpu' | 'memory' | 'disk'

const typed = signal('')
const wanted = signal('')
const sort = signal<Sort>('name')
const chosen = signal<ReadonlySet<string>>(new Set())

const order: Record<Sort, (a: Vm, b: Vm) => number> = {
  name: (a, b) => a.name.localeCompare(b.name),
  state: (a, b) => a.state.localeCompare(b.state) || a.name.localeCompare(b.name),
  cpu: (a, b) => (b.cpuPercent ?? -1) - (a.cpuPercent ?? -1),
  memory: (a, b) => (b.memoryBytes ?? -1) - (a.memoryBytes ?? -1),
  disk: (a, b) => (b.diskBytes ?? -1) - (a.diskBytes ?? -1),
}

const columns: readonly [Sort, string][] = [
  ['name', 'Name'],
  ['state', 'State'],
  ['cpu', 'CPU'],
  ['memory', 'Memory'],
  ['disk', 'Disk'],
]

/** What makes sense for several at once, and what is said of them then. */
const forMany = {
  Start: 'awake',
  Wake: 'awake',
  Sleep: 'asleep',
  Checkpoint: 'with a new checkpoint',
  Stop: 'stopped',
  Delete: 'gone',
}

/** Height of a row in pixels; only the rows that can be seen are drawn. */
const rowHeight = 40
const beyond = 10

export function VmsView() {
  const states = useComputed(() => [...new Set((vms.value ?? []).map((vm) => vm.state))].sort())
  const tags = useComputed(() => [...new Set((vms.value ?? []).flatMap((vm) => vm.tags))].sort())
  const shown = useComputed(() => {
    const words = typed.value.toLowerCase().split(/\s+/).filter(Boolean)
    return (vms.value ?? [])
      .filter((vm) => !wanted.value || vm.state === wanted.value || vm.tags.some((tag) => wanted.value === `#${tag}`))
      .filter((vm) => {
        const text =
          `${vm.name} ${vm.comment} ${vm.tags.map((tag) => `#${tag}`).join(' ')} ${vm.image} ${vm.address}`.toLowerCase()
        return words.every((word) => text.includes(word))
      })
      .sort(order[sort.value])
  })
  const { value: all } = vms
  if (!all) return <p class="soft">Asking the box…</p>
  return (
    <>
      <div class="heading">
        <h1>VMs</h1>
        <a class="button main" href="/new">
          New VM
        </a>
      </div>
      {all.length === 0 ? (
        <Empty title="No VMs yet">
          <p>
            <a href="/new">Make one</a>, or type <code>croft new</code>. It is there in a second.
          </p>
        </Empty>
      ) : (
        <>
          <div class="filters">
            <input
              type="search"
              aria-label="Search by name, tag, comment, image or address"
              placeholder="search"
              value={typed.value}
              onInput={(event) => {
                typed.value = event.currentTarget.value
              }}
            />
            <select
              aria-label="Only in this state, or with this tag"
              value={wanted.value}
              onChange={(event) => {
                wanted.value = event.currentTarget.value
              }}
            >
              <option value="">all</option>
              {states.value.map((state) => (
                <option key={state}>{state}</option>
              ))}
              {tags.value.map((tag) => (
                <option key={`#${tag}`}>#{tag}</option>
              ))}
            </select>
            <span class="soft" role="status">
              {shown.value.length === all.length ? `${all.length}` : `${shown.value.length} of ${all.length}`}
            </span>
          </div>
          <Selection all={all} />
          <Rows shown={shown.value} />
        </>
      )}
    </>
  )
}

/** What can be done with all that are chosen, each by one button, for those of them that can. */
function Selection({ all }: { all: readonly Vm[] }) {
  const of = all.filter((vm) => chosen.value.has(vm.id))
  if (of.length === 0) return null
  return (
    <div class="selection" role="toolbar" aria-label="What to do with the chosen VMs">
      <b>{of.length} chosen</b>
      {Object.entries(forMany).map(([title, words]) => {
        const each = of.flatMap((vm) => actionsOf(vm).find((one) => one.title === title) ?? [])
        const [first, ...rest] = each
        if (!first) return null
        const action = { ...first.action, also: rest.map((one) => one.action), done: `${each.length} ${words}` }
        return (
          <Act key={title} action={action} kind={first.kind === 'danger' ? 'danger' : undefined}>
            {each.length < of.length ? `${title} ${each.length}` : title}
          </Act>
        )
      })}
      <button
        type="button"
        class="quiet"
        onClick={() => {
          chosen.value = new Set()
        }}
      >
        Choose none
      </button>
    </div>
  )
}

function Rows({ shown }: { shown: readonly Vm[] }) {
  const body = useRef<HTMLTableSectionElement>(null)
  const from = useSignal(0)
  const count = useSignal(40)
  useEffect(() => {
    const look = () => {
      const top = body.current!.getBoundingClientRect().top
      from.value = Math.max(0, Math.floor(-top / rowHeight) - beyond)
      count.value = Math.ceil(innerHeight / rowHeight) + 2 * beyond
    }
    look()
    addEventListener('scroll', look, { passive: true })
    addEventListener('resize', look)
    return () => {
      removeEventListener('scroll', look)
      removeEventListener('resize', look)
    }
  }, [])
  const start = Math.min(from.value, Math.max(0, shown.length - count.value))
  const rows = shown.slice(start, start + count.value)
  const after = shown.length - start - rows.length
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key]
    if (!step || (event.target as Element).closest('input,button')) return
    const links = [...body.current!.querySelectorAll<HTMLAnchorElement>('a.name')]
    const next = links[links.indexOf(document.activeElement as HTMLAnchorElement) + step]
    if (!next) return
    event.preventDefault()
    next.focus()
    next.scrollIntoView({ block: 'nearest' })
  }
  return (
    <table class="vms" aria-rowcount={shown.length + 1}>
      <thead>
        <tr>
          <th scope="col">
            <span class="hidden">Chosen</span>
          </th>
          {columns.map(([key, title]) => (
            <th
              key={key}
              scope="col"
              class={key}
              aria-sort={
                sort.value === key ? (key === 'name' || key === 'state' ? 'ascending' : 'descending') : undefined
              }
            >
              <button
                type="button"
                class="quiet"
                onClick={() => {
                  sort.value = key
                }}
              >
                {title}
              </button>
            </th>
          ))}
          <th scope="col" class="web">
            Web
          </th>
        </tr>
      </thead>
      <tbody ref={body} onKeyDown={onKeyDown}>
        {start > 0 && <tr style={{ height: `${start * rowHeight}px` }} />}
        {rows.map((vm, i) => (
          <Row key={vm.id} vm={vm} at={start + i + 2} />
        ))}
        {after > 0 && <tr style={{ height: `${after * rowHeight}px` }} />}
      </tbody>
    </table>
  )
}

function Row({ vm, at }: { vm: Vm; at: number }) {
  return (
    <tr
      aria-rowindex={at}
      onClick={(event) => !(event.target as Element).closest('a,button,input,label') && go(vmPath(vm.name))}
    >
      <td>
        <label class="choose">
          <input
            type="checkbox"
            aria-label={`Choose ${vm.name}`}
            checked={chosen.value.has(vm.id)}
            onChange={(event) => {
              const next = new Set(chosen.value)
              if (event.currentTarget.checked) next.add(vm.id)
              else next.delete(vm.id)
              chosen.value = next
            }}
          />
        </label>
      </td>
      <td class="name">
        <a class="name" href={vmPath(vm.name)}>
          {vm.name}
        </a>{' '}
        <span class="soft">{[...vm.tags.map((tag) => `#${tag}`), vm.comment].join(' ')}</span>
      </td>
      <td class="state">
        <State vm={vm} />
      </td>
      <td class="cpu">{vm.cpuPercent === null ? '–' : `${Math.round(vm.cpuPercent)} %`}</td>
      <td class="memory">{vm.memoryBytes === null ? '–' : bytes(vm.memoryBytes)}</td>
      <td class="disk">{vm.diskBytes === null ? '–' : bytes(vm.diskBytes)}</td>
      <td class="web">
        {vm.web ? (
          <>
            <a href={vm.web} target="_blank" rel="noopener noreferrer">
              {vm.web.replace(/^https?:\/\/|\/$/g, '')}
            </a>{' '}
            <Copy text={vm.web} what={`the address of ${vm.name}`} />
          </>
        ) : (
          vm.address
        )}
      </td>
    </tr>
  )
}
