import { type Signal, useSignal } from '@preact/signals'
import type { ComponentType } from 'preact'
import { useEffect } from 'preact/hooks'
import type { HistoryResult } from '../../../daemon/commands/results/history.ts'
import type { Range } from '../../../daemon/core/interfaces/metrics.ts'
import type { VmView } from '../box.ts'
import { type Charted, chartsOfBox, chartsOfVm, inWords, isKnown } from '../charted.ts'
import { useCommand } from '../command.ts'
import { Empty, Loaded } from '../parts.tsx'
import type { ChartProps } from './chart.tsx'

const spans: Record<Range, string> = { '1h': 'Last hour', '24h': 'Day', '7d': 'Week', '30d': 'Month' }

/** Charts of a VM's usage. */
export function Charts({ vm }: { vm: VmView }) {
  return (
    <section aria-labelledby="used">
      <h2 id="used" class="hidden">
        Usage history
      </h2>
      <Course key={vm.id} of={chartsOfVm} vm={vm.name} since={vm.createdAt} />
    </section>
  )
}

/** Charts of the box. */
export function LoadChart() {
  return (
    <section aria-labelledby="load">
      <h2 id="load">Load</h2>
      <Course of={chartsOfBox} />
    </section>
  )
}

/** @param props.since when the VM was made */
function Course({ of, vm, since }: { of: readonly Charted[]; vm?: string; since?: string }) {
  const range = useSignal<Range>('1h')
  const View: Signal<ComponentType<ChartProps> | undefined> = useSignal(undefined)
  useEffect(() => {
    void import('./chart.tsx').then((module) => {
      View.value = module.default
    })
  }, [])
  const args = { ...(vm !== undefined && { vm }), range: range.value }
  const answer = useCommand<{ history: HistoryResult }>('stat', args, range.value === '1h' ? 10_000 : 60_000)
  return (
    <>
      <fieldset class="switch">
        <legend class="hidden">Time range</legend>
        {Object.entries(spans).map(([each, title]) => (
          <label key={each}>
            <input
              type="radio"
              name="range"
              checked={each === range.value}
              onChange={() => {
                range.value = each as Range
              }}
            />
            {title}
          </label>
        ))}
      </fieldset>
      <Loaded of={answer}>
        {({ history }) => {
          const known = of.filter(({ series }) => series.some(({ key }) => isKnown(history, key)))
          if (known.length === 0)
            return (
              <Empty title={isNew(history, since) ? 'Nothing recorded yet' : 'Nothing recorded in this period'}>
                <p>
                  {vm === undefined ? 'The box' : vm} is measured every 10 s{vm !== undefined && ' while it runs'}.
                </p>
              </Empty>
            )
          return (
            <div class="charts">
              {known.map((each) => (
                <Figure key={each.title} of={each} history={history} View={View.value} />
              ))}
            </div>
          )
        }}
      </Loaded>
    </>
  )
}

/** Whether the VM did not exist before the range that is shown. */
const isNew = ({ from }: HistoryResult, since: string | undefined): boolean =>
  since === undefined || Date.parse(since) / 1000 >= from

function Figure(props: { of: Charted; history: HistoryResult; View: ComponentType<ChartProps> | undefined }) {
  const { of, history, View } = props
  const pointed = useSignal<string | undefined>(undefined)
  const onPoint = (says: string | undefined) => {
    pointed.value = says
  }
  return (
    <figure>
      <h3>
        {of.title} <span aria-hidden="true">{pointed.value}</span>
      </h3>
      {View ? <View of={of} history={history} onPoint={onPoint} /> : <div class="chart" />}
      <figcaption>
        {of.series.map(({ key, title }, i) => (
          <p key={key}>
            {of.series.length > 1 && (
              <>
                <svg class={`dash${i}`} viewBox="0 0 24 4" aria-hidden="true">
                  <path d="M0 2h24" />
                </svg>{' '}
                <b>{title}</b>{' '}
              </>
            )}
            {inWords(history, key, of.say)}
          </p>
        ))}
      </figcaption>
    </figure>
  )
}
