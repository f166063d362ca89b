import { printable } from './format.ts'

export interface Column<Row> {
  readonly title: string
  readonly value: (row: Row) => string
  readonly align?: 'right'
  /** Shortened first when the terminal is too narrow. */
  readonly shrink?: boolean
}

const GAP = '  '
const MIN_WIDTH = 8
const ELLIPSIS = '…'

/**
 * Lays rows out in columns. With a width, columns that may shrink are cut until a line fits; null keeps everything,
 * for pipes and files.
 */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number | null,
): string[] {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ value }) => printable(value(row)))),
  ]
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i]?.length ?? 0)))
  if (width !== null) shrink(columns, widths, width)
  return cells.map((line) =>
    line
      .map((cell, i) => pad(cut(cell, widths[i] ?? 0), widths[i] ?? 0, columns[i]?.align))
      .join(GAP)
      .trimEnd(),
  )
}

function shrink<Row>(columns: readonly Column<Row>[], widths: number[], width: number): void {
  const total = () => widths.reduce((sum, each) => sum + each, 0) + GAP.length * (widths.length - 1)
  for (const mayShrink of [true, false]) {
    while (total() > width) {
      const candidates = widths.map((each, i) => ((columns[i]?.shrink ?? false) === mayShrink ? each : 0))
      const widest = candidates.indexOf(Math.max(...candidates))
      if ((candidates[widest] ?? 0) <= MIN_WIDTH) break
      widths[widest] = (widths[widest] ?? 0) - 1
    }
  }
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : text.slice(0, Math.max(0, width - 1)) + ELLIPSIS
}

function pad(text: string, width: number, align: 'right' | undefined): string {
  return align === 'right' ? text.padStart(width) : text.padEnd(width)
}

/** Lays out what is known about one thing: a name and a value per line. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string[] {
  const width = Math.max(...fields.map(([name]) => name.length))
  return fields.map(([name, value]) => `${`${name}:`.padEnd(width + 1)}${GAP}${printable(value)}`)
}
