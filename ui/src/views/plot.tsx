import { signal, useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { sharing } from '../../../daemon/commands/results/sharing.ts'
import type { HostUsage } from '../../../daemon/core/interfaces/metrics.ts'
import { bytes } from '../../../daemon/lib/text/units.ts'
import { type VmView, vms } from '../box.ts'
import { StateMark } from '../parts.tsx'
import { divide, settle } from '../plot.ts'
import { vmPath } from '../route.ts'

interface Measure {
  title: string
  of(vm: VmView): number
  whole(box: HostUsage): number
  used(box: HostUsage): number
  /** What belongs to no single VM. */
  shared?: { title: string; of(box: HostUsage): number }
  say(n: number): string
}

const measures = {
  memory: {
    title: 'memory',
    of: (vm) => vm.memoryBytes ?? 0,
    whole: (box) => box.memoryTotalBytes,
    used: (box) => box.memoryUsedBytes,
    shared: { title: 'what VMs share', of: (box) => box.memorySharedBytes },
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
    whole: (box) => box.diskTotalBytes,
    used: (box) => box.diskTotalBytes - box.diskFreeBytes,
    shared: { title: 'images, and what VMs share', of: (box) => box.diskKeptBytes },
    say: bytes,
  },
} satisfies Record<string, Measure>

const measure = signal<keyof typeof measures>('memory')

/** The box as a field seen from above. The used part is a village on it, each VM a parcel there; the rest is free. */
export function Plot({ all, box }: { all: readonly VmView[]; box: HostUsage }) {
  const element = useRef<HTMLDivElement>(null)
  const room = useSignal({ width: 1000, height: 600 })
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => {
      const { width, height } = entry!.contentRect
      if (height > 0) room.value = { width, height }
    })
    watcher.observe(element.current!)
    return () => watcher.disconnect()
  }, [])
  const { title, of, whole, used, shared, say }: Measure = measures[measure.value]
  const ofVms = all.map((vm) => ({ item: vm, size: of(vm) }))
  const kept = shared?.of(box) ?? 0
  const others = Math.max(0, used(box) - kept - ofVms.reduce((sum, { size }) => sum + size, 0))
  const parcels = divide<VmView | string>(
    [{ item: 'the system', size: others }, ...(shared ? [{ item: shared.title, size: kept }] : []), ...ofVms],
    room.value.width / room.value.height,
  )
  const side = settle(used(box), whole(box))
  return (
    <figure class="plot" aria-label={`What uses the box’s ${title}`}>
      <div class="field" ref={element}>
        <p class="free" aria-hidden="true">
          {say(whole(box) - used(box))} free
        </p>
        <ul style={{ width: part(side), height: part(side) }}>
          {parcels.map(({ item, size, left, top, width, height }) => {
            const style = { left: part(left), top: part(top), width: part(width), height: part(height) }
            const [across, down] = [width * side * room.value.width, height * side * room.value.height]
            const small = across < 64 || down < 44 ? ' small' : down < 72 ? ' low' : ''
            if (typeof item === 'string')
              return (
                <li key={item} class={`parcel nobody${small}`} style={style} title={`${item}: ${say(size)}`}>
                  <b>{item}</b> <span>{say(size)}</span>
                </li>
              )
            return (
              <li
                key={item.id}
                class={`parcel ${item.state}${small}${item.public.length ? ' open' : ''}`}
                style={style}
              >
                <a href={vmPath(item.name)} title={inWords(item)}>
                  <b>{item.name}</b> <span>{say(size)}</span> <span class="state-word">{item.state}</span>
                  {item.public.length > 0 && <span class="public">public</span>}
                </a>
              </li>
            )
          })}
        </ul>
      </div>
      <figcaption>
        <fieldset class="switch">
          <legend class="hidden">What the field shows</legend>
          {(Object.keys(measures) as (keyof typeof measures)[]).map((each) => (
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

function inWords(vm: VmView): string {
  const { name, state, memoryBytes, cpuPercent, diskBytes } = vm
  return `${name}, ${state}, ${sharing(vm)}: ${bytes(memoryBytes ?? 0)} memory, ${Math.round(cpuPercent ?? 0)} % CPU, ${bytes(diskBytes ?? 0)} disk`
}

const mostAtEdge = 200

/** VMs that use nothing of the field, as a row of markers along its edge. */
export function Edge() {
  const off = (vms.value ?? []).filter(
    (vm) => vm.memoryBytes === null || vm.state === 'asleep' || vm.state === 'stopped',
  )
  if (off.length === 0) return null
  return (
    <ul class="edge" aria-label="VMs that use no memory">
      {off.slice(0, mostAtEdge).map((vm) => (
        <li key={vm.id}>
          <a href={vmPath(vm.name)} class={vm.state}>
            <StateMark vm={vm} /> {vm.name} {vm.public.length > 0 && <span class="public">public</span>}
          </a>
        </li>
      ))}
      {off.length > mostAtEdge && (
        <li>
          <a href="/vms">{off.length - mostAtEdge} more</a>
        </li>
      )}
    </ul>
  )
}
