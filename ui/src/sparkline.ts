/**
 * Returns the SVG path of a sparkline, `width` by `height`. It spans the whole width from the first known value on;
 * gaps stay gaps. Pure.
 * @param values the oldest first; null where nothing was measured @param whole the value at the top
 */
export function sparkline(values: readonly (number | null)[], whole: number, width: number, height: number): string {
  const known = values.slice(values.findIndex((value) => value !== null))
  const step = width / Math.max(1, known.length - 1)
  let path = ''
  let drawn = false
  for (const [i, value] of known.entries()) {
    if (value !== null) {
      const y = height * (1 - Math.min(1, value / Math.max(1, whole)))
      path += `${drawn ? 'L' : 'M'}${(i * step).toFixed(1)} ${y.toFixed(1)}`
    }
    drawn = value !== null
  }
  return path
}
