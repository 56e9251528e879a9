import type { HistoryResult } from '../../../daemon/commands/results/history.ts'
import type { TopResult } from '../../../daemon/commands/vm/top.ts'
import type { DomainResult } from '../../../daemon/commands/web/domain-ls.ts'
import type { Check } from '../../../daemon/core/interfaces/check.ts'
import { standing, waits } from '../../../daemon/core/interfaces/governor.ts'
import type { HostUsage } from '../../../daemon/core/interfaces/metrics.ts'
import { bytes } from '../../../daemon/lib/text/units.ts'
import { usage, vms } from '../box.ts'
import { useCommand } from '../command.ts'
import { CheckList, Empty, Facts, Trouble } from '../parts.tsx'
import { vmPath } from '../route.ts'
import { sparkline } from '../sparkline.ts'
import { certificatesOf } from '../words.ts'
import { LoadChart } from './charts.tsx'
import { Edge, Plot } from './plot.tsx'

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
          <Edge />
          {all.length === 0 && (
            <Empty title="The whole box is free">
              <p>
                Make the first VM: <a href="/new">New VM</a>, or <code>croft new</code>.
              </p>
            </Empty>
          )}
          <LoadChart />
        </div>
        <aside aria-label="Usage">
          <Meters box={box} />
          <Shared />
          <Checks />
          <About />
        </aside>
      </div>
    </>
  )
}

const measuredEveryMs = 10_000

/** Usage now, and in the last hour. */
function Meters({ box }: { box: HostUsage }) {
  const { value } = useCommand<{ history: HistoryResult }>('stat', { range: '1h' }, measuredEveryMs)
  const { cpuPercent, memoryUsedBytes, diskUsedBytes } = value?.history.series ?? {}
  const diskUsed = box.diskTotalBytes - box.diskFreeBytes
  const rows = [
    ['CPU', `${Math.round(box.cpuPercent)} %`, cpuPercent, box.cpuPercent, 100],
    [
      'memory',
      `${bytes(box.memoryUsedBytes)} of ${bytes(box.memoryTotalBytes)}`,
      memoryUsedBytes,
      box.memoryUsedBytes,
      box.memoryTotalBytes,
    ],
    ['disk', `${bytes(box.diskFreeBytes)} free`, diskUsedBytes, diskUsed, box.diskTotalBytes],
  ] as const
  return (
    <dl class="meters">
      {rows.map(([title, says, past = [], now, whole]) => (
        <div key={title}>
          <dt>{title}</dt>
          <dd>
            <svg class="line" viewBox="0 0 150 21" preserveAspectRatio="none" aria-hidden="true">
              <path transform="translate(0 2)" d={sparkline([...trimmed(past), now], whole, 150, 18)} />
            </svg>
            <span>{says}</span>
          </dd>
        </div>
      ))}
    </dl>
  )
}

/** Drops the steps at the end that have no sample yet. */
const trimmed = (values: readonly (number | null)[]) =>
  values.slice(0, values.findLastIndex((value) => value !== null) + 1)

const sharedEveryMs = 4000

/** How the VMs share the box: what they wait for, and which of them the governor acts on or names. */
function Shared() {
  const { value } = useCommand<TopResult>('top', {}, sharedEveryMs)
  if (!value?.box) return null
  const { pressure, memory, ...box } = value.box
  const stands = standing(memory)
  const governed = value.vms.filter((vm) => vm.governor)
  const rows = [
    ['memory', stands.length > 0 ? stands.join(', ') : 'enough for all'],
    ['swap', box.swapTotalBytes > 0 ? `${bytes(box.swapUsedBytes)} of ${bytes(box.swapTotalBytes)}` : undefined],
    ['waits for', waits(pressure).join(', ')],
  ] as const
  return (
    <section aria-label="How it is shared">
      <h2>How it is shared</h2>
      <Facts rows={rows} />
      {governed.length > 0 && (
        <ul class="checks">
          {governed.map(({ id, name, governor }) => (
            <li key={id} class="look">
              <a href={vmPath(name)}>{name}</a> {governor!.what} <em>{governor!.why}</em>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function Checks() {
  const { value, problem } = useCommand<{ checks: Check[] }>('doctor')
  if (problem) return <Trouble problem={problem} />
  if (!value) return <p class="soft">Checking the box…</p>
  const bad = value.checks.filter((check) => check.state !== 'fine')
  return (
    <section aria-label="Health">
      <h2>{bad.length === 0 ? 'The box is fine' : 'The box needs a look'}</h2>
      {bad.length > 0 && <CheckList checks={bad} />}
      <details>
        <summary>What croft doctor checks</summary>
        <CheckList checks={value.checks} />
      </details>
    </section>
  )
}

/** Versions, and the box's addresses. */
function About() {
  const { value: versions } = useCommand<Record<'croft' | 'node' | 'libvirt' | 'qemu', string>>('version')
  const { value: names } = useCommand<DomainResult>('domain ls')
  if (!versions) return null
  const rows = [
    ['VMs at', names?.example ?? 'no web addresses'],
    ['certificates', names && certificatesOf[names.tls]],
    ['Croft', versions.croft],
    ['libvirt', versions.libvirt],
    ['QEMU', versions.qemu],
    ['Node', versions.node],
  ] as const
  return (
    <section>
      <h2>About</h2>
      <Facts rows={rows} />
    </section>
  )
}
