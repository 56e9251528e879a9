import { computed, signal, useSignal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import { sharing } from '../../../daemon/commands/results/sharing.ts'
import { bytes } from '../../../daemon/lib/text/units.ts'
import { actionsOf } from '../actions.ts'
import { type VmView, vms } from '../box.ts'
import { Act, Copy, Empty, StateMark } from '../parts.tsx'
import { go, vmPath } from '../route.ts'

type Sort = 'name' | 'state' | 'cpu' | 'memory' | 'disk'

const typed = signal('')
const wanted = signal('')
const sort = signal<{ by: Sort; turned: boolean }>({ by: 'name', turned: false })
const chosen = signal<ReadonlySet<string>>(new Set())

const { compare } = new Intl.Collator()

/** Words from A to Z, numbers from the greatest down; a second click reverses the order. */
const order: Record<Sort, (a: VmView, b: VmView) => number> = {
  name: (a, b) => compare(a.name, b.name),
  state: (a, b) => compare(a.state, b.state),
  cpu: (a, b) => (b.cpuPercent ?? -1) - (a.cpuPercent ?? -1),
  memory: (a, b) => (b.memoryBytes ?? -1) - (a.memoryBytes ?? -1),
  disk: (a, b) => (b.diskBytes ?? -1) - (a.diskBytes ?? -1),
}
const ascends = ({ by, turned }: { by: Sort; turned: boolean }) => (by === 'name' || by === 'state') !== turned

const columns: readonly [Sort, string][] = [
  ['name', 'Name'],
  ['state', 'State'],
  ['cpu', 'CPU'],
  ['memory', 'Memory'],
  ['disk', 'Disk'],
]

/** Actions that make sense for several VMs at once, and the words for the outcome. */
const forMany = {
  Start: 'awake',
  Wake: 'awake',
  Sleep: 'asleep',
  Checkpoint: 'with a new checkpoint',
  Stop: 'stopped',
  Delete: 'deleted',
}

/**
 * Height of a row in pixels; on a narrow screen it has a second line for the address. Only visible rows are drawn, and
 * some on both sides. Each row is positioned by itself, so that a new one does not make the browser lay out the others
 * again.
 */
const narrow = matchMedia('(max-width: 900px)')
const heightNow = () => (narrow.matches ? 60 : 40)
const row = signal(heightNow())
narrow.addEventListener('change', () => {
  row.value = heightNow()
})
const beyond = 10

const states = computed(() => [...new Set((vms.value ?? []).map((vm) => vm.state))].sort())
const isOpen = (vm: VmView): boolean => vm.public.length > 0
const tags = computed(() => [...new Set((vms.value ?? []).flatMap((vm) => vm.tags))].sort())

/** The text of each VM that a search looks at, cached while the VM is unchanged. */
const texts = new WeakMap<VmView, string>()
function textOf(vm: VmView): string {
  let text = texts.get(vm)
  if (text === undefined) {
    const hashed = vm.tags.map((tag) => `#${tag}`).join(' ')
    text = `${vm.name} ${vm.comment} ${hashed} ${vm.image} ${vm.address} ${sharing(vm)}`.toLowerCase()
    texts.set(vm, text)
  }
  return text
}

const sorted = computed(() => {
  const { by, turned } = sort.value
  const way = turned ? -1 : 1
  return [...(vms.value ?? [])].sort((a, b) => way * order[by](a, b) || compare(a.name, b.name))
})

/** The VMs that the list shows, in its order. */
const shown = computed(() => {
  const words = typed.value.toLowerCase().split(/\s+/).filter(Boolean)
  const want = wanted.value
  return sorted.value.filter(
    (vm) =>
      (!want || vm.state === want || (want === 'public' && isOpen(vm)) || vm.tags.some((tag) => want === `#${tag}`)) &&
      words.every((word) => textOf(vm).includes(word)),
  )
})

/** The VM that was last selected or deselected: where a range begins. */
let last: string | undefined

/** @param range also applies to all between it and the last one */
function choose(id: string, on: boolean, range: boolean): void {
  const ids = shown.value.map((vm) => vm.id)
  const [at, from] = [ids.indexOf(id), ids.indexOf(last ?? id)]
  const next = new Set(chosen.value)
  const those = range && from >= 0 ? ids.slice(Math.min(at, from), Math.max(at, from) + 1) : [id]
  for (const each of those) {
    if (on) next.add(each)
    else next.delete(each)
  }
  chosen.value = next
  last = id
}

export function VmsView() {
  const search = useRef<HTMLInputElement>(null)
  const { value: all } = vms
  if (!all) return <p class="soft">Asking the box…</p>
  const sought = [typed.value.trim(), wanted.value].filter(Boolean).join(' · ')
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
            <a href="/new">Make one</a>, or type <code>croft new</code>. It is ready in a second.
          </p>
        </Empty>
      ) : (
        <>
          <div class="filters">
            <input
              ref={search}
              type="search"
              aria-label="Search by name, tag, comment, image or address"
              placeholder="search"
              value={typed.value}
              onInput={(event) => {
                typed.value = event.currentTarget.value
              }}
              onKeyDown={(event) => {
                if (event.key !== 'ArrowDown') return
                event.preventDefault()
                document.querySelector<HTMLElement>('.vms a.name')?.focus()
              }}
            />
            <select
              aria-label="Filter by state, public, or tag"
              value={wanted.value}
              onChange={(event) => {
                wanted.value = event.currentTarget.value
              }}
            >
              <option value="">all</option>
              {states.value.map((state) => (
                <option key={state}>{state}</option>
              ))}
              {all.some(isOpen) && <option>public</option>}
              {tags.value.map((tag) => (
                <option key={`#${tag}`}>#{tag}</option>
              ))}
            </select>
            <span class="soft" role="status">
              {shown.value.length === all.length ? `${all.length}` : `${shown.value.length} of ${all.length}`}
            </span>
          </div>
          <Selection all={all} />
          {shown.value.length > 0 ? (
            <Rows />
          ) : (
            <Empty title={`Nothing matches ${sought}`}>
              <button
                type="button"
                onClick={() => {
                  typed.value = ''
                  wanted.value = ''
                  search.current?.focus()
                }}
              >
                Show all
              </button>
            </Empty>
          )}
        </>
      )}
    </>
  )
}

/** One button for each action on the selected VMs; it applies to those that allow it. */
function Selection({ all }: { all: readonly VmView[] }) {
  const of = all.filter((vm) => chosen.value.has(vm.id))
  if (of.length === 0) return null
  return (
    <div class="selection" role="toolbar" aria-label="Actions for the selected VMs">
      <b>{of.length} selected</b>
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
        Clear selection
      </button>
    </div>
  )
}

function Rows() {
  const body = useRef<HTMLTableSectionElement>(null)
  const from = useSignal(0)
  const count = useSignal(40)
  /** The row to focus as soon as it is drawn. */
  const goal = useRef<number | undefined>(undefined)
  const { value: rowHeight } = row
  const look = () => {
    const top = body.current!.getBoundingClientRect().top
    from.value = Math.max(0, Math.floor(-top / row.peek()) - beyond)
    count.value = Math.ceil(innerHeight / row.peek()) + 2 * beyond
  }
  useEffect(() => {
    look()
    addEventListener('scroll', look, { passive: true })
    addEventListener('resize', look)
    return () => {
      removeEventListener('scroll', look)
      removeEventListener('resize', look)
    }
  }, [])

  const { value: all } = shown
  // The focused element keeps the focus: it stays drawn while out of sight, and when its row moves.
  const { activeElement } = document
  const held = body.current?.contains(activeElement) ? (activeElement as HTMLElement) : undefined
  const heldId = held?.closest('tr')?.id
  const heldAt = heldId === undefined ? -1 : all.findIndex((vm) => rowId(vm) === heldId)
  // Chromium scrolls to the focused element when others are inserted before it, but not when it is focused again
  // afterwards.
  if (heldAt >= 0 && held?.closest('tr')?.ariaRowIndex !== `${heldAt + 2}`) held?.blur()
  useLayoutEffect(() => {
    // The list may have become shorter meanwhile.
    if (goal.current !== undefined) reach(Math.min(goal.current, all.length - 1))
    else if (held?.isConnected && document.activeElement !== held) held.focus({ preventScroll: true })
  })

  const start = Math.min(from.value, Math.max(0, all.length - count.value))
  const end = Math.min(all.length, start + count.value)
  const drawn = Array.from({ length: end - start }, (_, i) => start + i)
  if (heldAt >= 0 && heldAt < start) drawn.unshift(heldAt)
  if (heldAt >= end) drawn.push(heldAt)

  function reach(index: number): void {
    const link = body.current?.querySelector<HTMLElement>(`tr[aria-rowindex="${index + 2}"] a.name`)
    goal.current = link ? undefined : index
    if (link) {
      link.focus({ preventScroll: true })
      link.closest('tr')!.scrollIntoView({ block: 'nearest' })
    } else {
      scrollTo(0, scrollY + body.current!.getBoundingClientRect().top + index * rowHeight - innerHeight / 2)
      look()
    }
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const row = (event.target as Element).closest('tr')
    if (!row || event.ctrlKey || event.altKey || event.metaKey || (event.target as Element).closest('input,button'))
      return
    const page = Math.max(1, Math.floor(innerHeight / rowHeight) - 4)
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      j: 1,
      k: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    }
    const step = steps[event.key as keyof typeof steps]
    if (!step) return
    event.preventDefault()
    reach(Math.max(0, Math.min(all.length - 1, Number(row.ariaRowIndex) - 2 + step)))
  }
  return (
    <table class="vms" aria-rowcount={all.length + 1} style={{ '--row': `${rowHeight}px` }}>
      <thead>
        <tr aria-rowindex={1}>
          <th scope="col">
            <ChooseAll />
          </th>
          {columns.map(([key, title]) => (
            <th
              key={key}
              scope="col"
              class={key}
              aria-sort={sort.value.by === key ? (ascends(sort.value) ? 'ascending' : 'descending') : undefined}
            >
              <button
                type="button"
                class="quiet"
                onClick={() => {
                  const { by, turned } = sort.value
                  sort.value = { by: key, turned: by === key && !turned }
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
      <tbody ref={body} style={{ height: `${all.length * rowHeight}px` }} onKeyDown={onKeyDown}>
        {drawn.map((at) => (
          <Row key={all[at]!.id} vm={all[at]!} at={at} />
        ))}
      </tbody>
    </table>
  )
}

function ChooseAll() {
  const count = shown.value.filter((vm) => chosen.value.has(vm.id)).length
  const whole = count > 0 && count === shown.value.length
  return (
    <label class="choose">
      <input
        type="checkbox"
        aria-label="Select all shown"
        checked={whole}
        indeterminate={count > 0 && !whole}
        onClick={() => {
          const next = new Set(chosen.value)
          for (const { id } of shown.value) {
            if (whole) next.delete(id)
            else next.add(id)
          }
          chosen.value = next
        }}
      />
    </label>
  )
}

const rowId = ({ id }: VmView) => `row-${id}`

/**
 * Drawn again only when its VM is another object, its index changes, or a signal that it reads does. @param props.at
 * index, from 0
 */
function Row({ vm, at }: { vm: VmView; at: number }) {
  return (
    <tr
      id={rowId(vm)}
      aria-rowindex={at + 2}
      style={{ top: `${at * row.value}px` }}
      onClick={(event) => !(event.target as Element).closest('a,button,input,label') && go(vmPath(vm.name))}
    >
      <td>
        {/* Selecting a range of rows must not select text. */}
        <label class="choose" onMouseDown={(event) => event.shiftKey && event.preventDefault()}>
          <input
            type="checkbox"
            aria-label={`Select ${vm.name}`}
            checked={chosen.value.has(vm.id)}
            onClick={(event) => choose(vm.id, event.currentTarget.checked, event.shiftKey)}
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
        <StateMark vm={vm} />
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
            {isOpen(vm) && (
              <span class="public" title={sharing(vm)}>
                public
              </span>
            )}{' '}
            <Copy text={vm.web} what={`the address of ${vm.name}`} />
          </>
        ) : (
          vm.address
        )}
      </td>
    </tr>
  )
}
