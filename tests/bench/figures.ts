/** One measured quantity, over several runs. */
export interface Figure {
  what: string
  unit: 'ms' | 's' | 'kB' | 'MB' | '%' | '/s' | 'VMs'
  values: number[]
  /** At most this. */
  aim?: number
  /** At least this. */
  least?: number
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** Returns a Markdown table: median, least, most, and the aim where there is one. */
export function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ what, unit, values, aim, least }) => {
    const show = (value: number) => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ${unit}`
    const verdict =
      aim !== undefined
        ? `${median(values) <= aim ? 'below' : 'ABOVE'} ${aim} ${unit}`
        : least !== undefined
          ? `${median(values) >= least ? 'above' : 'BELOW'} ${least} ${unit}`
          : ''
    return `| ${what} | ${show(median(values))} | ${show(Math.min(...values))} | ${show(Math.max(...values))} | ${values.length} | ${verdict} |`
  })
  return ['| what | median | least | most | runs | aim |', '| --- | --- | --- | --- | --- | --- |', ...rows].join('\n')
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}
