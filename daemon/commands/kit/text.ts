import type { View } from './command.ts'

const codes = { bold: 1, dim: 2, red: 31, green: 32, amber: 33 } as const

export function style(view: View, kind: keyof typeof codes, text: string): string {
  return view.color ? `\u001b[${codes[kind]}m${text}\u001b[0m` : text
}

export interface Column<T> {
  title: string
  value(row: T): string
  /** Style of the cell, applied after padding. */
  dress?(row: T): 'bold' | 'dim' | 'red' | 'green' | 'amber' | undefined
  right?: boolean
  /** Minimum width, for columns whose width would otherwise change with their content. */
  least?: number
}

/** Formats a table. Columns that do not fit are dropped from the right; lines never wrap. */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[], view: View): string {
  const widths = columns.map((column) =>
    Math.max(column.least ?? 0, width(column.title), ...rows.map((row) => width(column.value(row)))),
  )
  let kept = columns.length
  const total = () => widths.slice(0, kept).reduce((sum, each) => sum + each + 3, -3)
  while (kept > 1 && total() > view.columns) kept--
  const line = (cell: (column: Column<T>, pad: (text: string) => string) => string) =>
    columns
      .slice(0, kept)
      .map((column, i) =>
        cell(column, (text) => padded(text, i === kept - 1 && !column.right ? 0 : widths[i]!, column.right)),
      )
      .join('   ')
  const head = line((column, pad) => style(view, 'dim', pad(column.title)))
  const body = rows.map((row) =>
    line((column, pad) => {
      const kind = column.dress?.(row)
      return kind ? style(view, kind, pad(column.value(row))) : pad(column.value(row))
    }),
  )
  return [head, ...body].map((each) => `${each.trimEnd()}\n`).join('')
}

/** Formats lines of "label   value" with the values aligned. Rows without a value are left out. */
export function facts(rows: readonly (readonly [string, string | undefined])[], view: View): string {
  const shown = rows.filter(([, value]) => value !== undefined && value !== '')
  const longest = Math.max(0, ...shown.map(([label]) => width(label)))
  return shown.map(([label, value]) => `  ${style(view, 'dim', padded(label, longest))}   ${value}\n`).join('')
}

const width = (text: string): number => [...text].length

function padded(text: string, to: number, right = false): string {
  const fill = ' '.repeat(Math.max(0, to - width(text)))
  return right ? fill + text : text + fill
}
