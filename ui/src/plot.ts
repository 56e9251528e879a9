export interface PlotShare<T> {
  item: T
  /** In any unit, the same for all. */
  size: number
}

export interface Parcel<T> extends PlotShare<T> {
  /** Fractions of the field's width and height, 0 to 1. */
  left: number
  top: number
  width: number
  height: number
}

/**
 * Divides a field among shares, each as near to a square as it can be: a squarified treemap (Bruls, Huizing, van Wijk
 * 2000). The order is kept, so that a growing parcel stays about where it is. Pure.
 * @param aspect width of the field divided by its height
 */
export function divide<T>(shares: readonly PlotShare<T>[], aspect: number): Parcel<T>[] {
  const parcels: Parcel<T>[] = []
  const total = shares.reduce((sum, { size }) => sum + size, 0)
  if (total <= 0) return parcels
  const area = aspect / total
  // The rest of the field, which is `aspect` wide and 1 high.
  let [x, y, w, h] = [0, 0, aspect, 1]
  let row: PlotShare<T>[] = []

  const worst = (of: readonly PlotShare<T>[]): number => {
    const sum = of.reduce((all, { size }) => all + size * area, 0)
    const thick = sum / Math.min(w, h)
    return Math.max(...of.map(({ size }) => Math.max(thick ** 2 / (size * area), (size * area) / thick ** 2)))
  }
  const place = () => {
    const sum = row.reduce((all, { size }) => all + size * area, 0)
    const upright = w >= h
    const thick = sum / (upright ? h : w)
    let at = upright ? y : x
    for (const { item, size } of row) {
      const long = (size * area) / thick
      parcels.push(
        upright
          ? { item, size, left: x / aspect, top: at, width: thick / aspect, height: long }
          : { item, size, left: at / aspect, top: y, width: long / aspect, height: thick },
      )
      at += long
    }
    if (upright) [x, w] = [x + thick, w - thick]
    else [y, h] = [y + thick, h - thick]
    row = []
  }
  for (const share of shares) {
    if (share.size <= 0) continue
    if (row.length > 0 && worst([...row, share]) > worst(row)) place()
    row.push(share)
  }
  if (row.length > 0) place()
  return parcels
}

/**
 * Returns the fraction of a field's width and height that a piece of the same shape has when it stands for `used` of
 * `whole`. Pure.
 */
export const settle = (used: number, whole: number): number =>
  whole > 0 ? Math.sqrt(Math.min(1, Math.max(0, used / whole))) : 0
