import { note, outputWidth, print } from './io.ts'
import type { Session } from './session.ts'
import { type Column, renderFields, renderTable } from './table.ts'

/** Writes what the console answered: as JSON when asked, else with `render`. */
export function show<Value>(
  session: Pick<Session, 'io' | 'options'>,
  value: Value,
  render: (value: Value) => string[],
): void {
  const lines = session.options.json === true ? [JSON.stringify(value, null, 2)] : render(value)
  for (const line of lines) print(session.io, line)
}

/** Writes fields of one thing. */
export function fields(list: readonly (readonly [string, string])[]): string[] {
  return renderFields(list)
}

/** Writes a list as a table, or says that it is empty. */
export function showList<Row>(
  session: Session,
  page: { readonly items: Row[]; readonly nextCursor: string | null },
  columns: readonly Column<Row>[],
  empty: string,
): void {
  if (session.options.json === true) {
    print(session.io, JSON.stringify(page, null, 2))
    return
  }
  if (page.items.length === 0) {
    note(session.io, empty)
    return
  }
  for (const line of renderTable(columns, page.items, outputWidth(session.io))) print(session.io, line)
  if (page.nextCursor !== null) {
    note(
      session.io,
      `Only the first ${page.items.length} are shown. Use --limit <count> or --all to see more.`,
    )
  }
}
