import { printable } from './format.ts'

export interface Column<Row> {
  readonly title: string
  readonly value: (row: Row) => string
  readonly align?: 'right'
  /**
   * May be cut when the terminal is too narrow: text that is only read. What is given to another command (an id, a
   * digest, a name that is a reference) is never cut, so its column says nothing here.
   */
  readonly shrink?: boolean
}

const GAP = '  '
/** What does not fit beside the others stands below them, this far in. */
const INDENT = '    '
/** As far as a column is cut for a row to stay on one line. */
const MIN_WIDTH = 8
/** As far as it is cut where a row takes several lines anyhow. */
const COMFORTABLE_WIDTH = 20
const ELLIPSIS = '…'

/**
 * Lays rows out in columns. With a width, columns that may shrink are cut until a row fits on a line; where that is not
 * enough, its last columns go to indented lines below. Only a value that may not be cut and is wider than the terminal
 * makes a line longer. Null keeps a row on one line and cuts nothing, for pipes and files.
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
  const laidOut = columns.map((column, i) => ({
    index: i,
    align: column.align,
    mayShrink: column.shrink === true,
    width: Math.max(...cells.map((line) => line[i]?.length ?? 0)),
  }))
  const lines = width === null ? [laidOut] : layOut(laidOut, width)
  return cells.flatMap((row) =>
    lines.flatMap((line, number) => {
      const text = line
        .map(({ index, align, width: cellWidth }) => pad(cut(row[index] ?? '', cellWidth), cellWidth, align))
        .join(GAP)
        .trimEnd()
      if (number === 0) return [text]
      return text === '' ? [] : [INDENT + text]
    }),
  )
}

interface LaidOut {
  readonly index: number
  readonly align: 'right' | undefined
  readonly mayShrink: boolean
  readonly width: number
}

function layOut(columns: readonly LaidOut[], width: number): LaidOut[][] {
  if (lengthOf(columns, MIN_WIDTH) <= width) return [shrink(columns, width, MIN_WIDTH)]
  const lines: LaidOut[][] = [[]]
  const roomOf = (line: number) => (line === 0 ? width : width - INDENT.length)
  for (const column of columns) {
    const line = lines.at(-1) ?? []
    const fits = lengthOf([...line, column], COMFORTABLE_WIDTH) <= roomOf(lines.length - 1)
    if (fits || line.length === 0) line.push(column)
    else lines.push([column])
  }
  return lines.map((line, number) => shrink(line, roomOf(number), MIN_WIDTH))
}

/** Length of a line whose columns are cut as far as `minWidth` where they may be; `Infinity`: not at all. */
function lengthOf(columns: readonly LaidOut[], minWidth: number): number {
  const widths = columns.map(({ mayShrink, width }) => (mayShrink ? Math.min(width, minWidth) : width))
  return widths.reduce((sum, each) => sum + each, 0) + GAP.length * (widths.length - 1)
}

/** Takes from the widest column that may shrink until the line fits, or none is wide enough. */
function shrink(columns: readonly LaidOut[], width: number, minWidth: number): LaidOut[] {
  const shrunk = [...columns]
  for (let excess = lengthOf(columns, Infinity) - width; excess > 0; excess--) {
    const candidates = shrunk.map((column) => (column.mayShrink ? column.width : 0))
    const widest = candidates.indexOf(Math.max(...candidates))
    const column = shrunk[widest]
    if (column === undefined || (candidates[widest] ?? 0) <= minWidth) break
    shrunk[widest] = { ...column, width: column.width - 1 }
  }
  return shrunk
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
