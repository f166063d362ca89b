import { MAX_PREPARED_STATEMENTS } from './limits.ts'

const names = new Map<string, string>()

/**
 * The name under which a statement's text is prepared in each connection, so that the server parses it once per
 * connection; null when there are enough names already (texts that vary, such as lists of values, would fill the
 * server's memory).
 */
export function preparedName(text: string): string | null {
  const known = names.get(text)
  if (known !== undefined) return known
  if (names.size >= MAX_PREPARED_STATEMENTS) return null
  const name = `berth_${names.size + 1}`
  names.set(text, name)
  return name
}
