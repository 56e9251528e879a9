import { signal, useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type { Check, HostUsage } from '../../../daemon/box/host.ts'
import { bytes } from '../../../daemon/units.ts'
import { history, usage, type Vm, vms } from '../box.ts'
import { useCommand } from '../command.ts'
import { Empty, State, Trouble } from '../parts.tsx'
import { divide } from '../plot.ts'
import { vmPath } from '../route.ts'

type Measure = 'memory' | 'cpu' | 'disk'

const measures: Record<
  Measure,
  {
    title: string
    of(vm: Vm): number
    whole(box: HostUsage): number
    used(box: HostUsage): number
    say(n: number): string
  }
> = {
  memory: {
    title: 'memory',
    of: (vm) => vm.memoryBytes ?? 0,
    whole: (box) => box.memoryBytes,
    used: (box) => box.memoryUsedBytes,
    say: bytes,
  },
  cpu: {
    title: 'CPU',
    of: (vm) => vm.cpuPercent ?? 0,
    whole: (box) => box.cpus * 100,
    used: (box) => box.cpuPercent * box.cpus,
    say: (n) => `${Math.round(n)} %`,
  },
  disk: {
    title: 'disk',
    of: (vm) => vm.diskBytes ?? 0,
    whole: (box) => box.diskBytes,
    used: (box) => box.diskBytes - box.diskFreeBytes,
    say: bytes,
  },
}

const measure = signal<Measure>('memory')

export function BoxView() {
  const { value: all } = vms
  const { value: box } = usage
  if (!all || !box) return <p class="soft">Asking the box…</p>
  return (
    <>
      <div class="heading">
        <h1>The box</h1>
        <a class="button main" href="/new">
          New VM
        </a>
      </div>
      <div class="box">
        <div>
          <Plot all={all} box={box} />
          <Edge all={all} />
          {all.length === 0 && (
            <Empty title="All of it is free">
              <p>
                Make the first VM: <a href="/new">New VM</a>, or <code>croft new</code>.
              </p>
            </Empty>
          )}
        </div>
        <aside aria-label="What is used">
          <Meters box={box} />
          <Checks />
        </aside>
      </div>
    </>
  )
}

/** What the system itself uses is a parcel too, of nobody's. */
const system = 'system'

function Plot({ all, box }: { all: readonly Vm[]; box: HostUsage }) {
  const element = useRef<HTMLUListElement>(null)
  const aspect = useSignal(1.6)
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => {
      const { width, height } = entry!.contentRect
      if (height > 0) aspect.value = width / height
    })
    watcher.observe(element.current!)
    return () => watcher.disconnect()
  }, [])
  const { title, of, whole, used, say } = measures[measure.value]
  const shares = all.map((vm) => ({ item: vm as Vm | typeof system, size: of(vm) }))
  const others = used(box) - shares.reduce((sum, { size }) => sum + size, 0)
  const parcels = divide([{ item: system, size: Math.max(0, others) }, ...shares], whole(box), aspect.value)
  return (
    <figure class="plot" aria-label={`What uses the box’s ${title}`}>
      <ul ref={element}>
        {parcels.map(({ item, left, top, width, height }) => {
          const style = { left: part(left), top: part(top), width: part(width), height: part(height) }
          const small = width * height < 0.012 ? ' small' : ''
          if (item === system)
            return (
              <li key={system} class={`parcel system${small}`} style={style} title={`the system: ${say(others)}`}>
                <b>the system</b> <span>{say(others)}</span>
              </li>
            )
          return (
            <li key={item.id} class={`parcel ${item.state}${small}`} style={style}>
              <a
                href={vmPath(item.name)}
                title={`${item.name}, ${item.state}: ${measures.memory.say(item.memoryBytes ?? 0)} memory, ${Math.round(item.cpuPercent ?? 0)} % CPU, ${bytes(item.diskBytes ?? 0)} disk`}
              >
                <b>{item.name}</b> <span>{say(of(item))}</span> <span class="state-word">{item.state}</span>
              </a>
            </li>
          )
        })}
      </ul>
      {shares.length === 0 && <p class="free">free</p>}
      <figcaption>
        <fieldset class="switch">
          <legend class="hidden">What the field stands for</legend>
          {(Object.keys(measures) as Measure[]).map((each) => (
            <label key={each}>
              <input
                type="radio"
                name="measure"
                checked={measure.value === each}
                onChange={() => {
                  measure.value = each
                }}
              />
              {measures[each].title}
            </label>
          ))}
        </fieldset>
        <span class="soft">
          {say(used(box))} of {say(whole(box))}
        </span>
      </figcaption>
    </figure>
  )
}

const part = (n: number): string => `${(n * 100).toFixed(3)}%`

/** VMs that use nothing of the field: a row of markers along its edge. */
function Edge({ all }: { all: readonly Vm[] }) {
  const off = all.filter((vm) => vm.memoryBytes === null || vm.state === 'asleep' || vm.state === 'stopped')
  if (off.length === 0) return null
  return (
    <ul class="edge" aria-label="VMs that use no memory">
      {off.map((vm) => (
        <li key={vm.id}>
          <a href={vmPath(vm.name)} class={vm.state}>
            <State vm={vm} /> {vm.name}
          </a>
        </li>
      ))}
    </ul>
  )
}

function Meters({ box }: { box: HostUsage }) {
  const rows = [
    ['CPU', `${Math.round(box.cpuPercent)} %`, (each: HostUsage) => each.cpuPercent / 100],
    [
      'memory',
      `${bytes(box.memoryUsedBytes)} of ${bytes(box.memoryBytes)}`,
      (each: HostUsage) => each.memoryUsedBytes / each.memoryBytes,
    ],
    ['disk', `${bytes(box.diskFreeBytes)} free`, (each: HostUsage) => 1 - each.diskFreeBytes / each.diskBytes],
  ] as const
  return (
    <dl class="meters">
      {rows.map(([title, says, of]) => (
        <div key={title}>
          <dt>{title}</dt>
          <dd>
            <Line values={history.value.map(of)} />
            <span>{says}</span>
          </dd>
        </div>
      ))}
    </dl>
  )
}

/** The last five minutes as a line; its words are beside it. */
function Line({ values }: { values: readonly number[] }) {
  const across = 150
  const points = values.map(
    (value, i) => `${across - (values.length - 1 - i)},${(20 - Math.min(1, value) * 18).toFixed(1)}`,
  )
  return (
    <svg class="line" viewBox={`0 0 ${across} 21`} preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points.join(' ')} />
    </svg>
  )
}

function Checks() {
  const { value, problem } = useCommand<{ checks: Check[] }>('doctor')
  if (problem) return <Trouble problem={problem} />
  if (!value) return <p class="soft">Looking at the box…</p>
  const bad = value.checks.filter((check) => check.state !== 'fine')
  return (
    <section class="checks" aria-label="How the box is">
      <h2>{bad.length === 0 ? 'The box is well' : 'The box needs a look'}</h2>
      {bad.length > 0 && <CheckList checks={bad} />}
      <details>
        <summary>What croft doctor looks at</summary>
        <CheckList checks={value.checks} />
      </details>
    </section>
  )
}

function CheckList({ checks }: { checks: readonly Check[] }) {
  return (
    <ul>
      {checks.map(({ what, state, says, advice }) => (
        <li key={what} class={state}>
          <b>{what}</b> {says} {advice && <em>{advice}</em>}
        </li>
      ))}
    </ul>
  )
}
