import { CliError } from './cli-error.ts'
import { parseSeconds } from './format.ts'

/** When something ends, from a duration such as `90d` or a date such as `2027-01-31`. Raises a usage error. */
export function parseExpiry(text: string, nowMs: number): string {
  const seconds = parseSeconds(text)
  if (seconds !== null) return new Date(nowMs + seconds * 1000).toISOString()
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time))
    throw new CliError('usage', `"${text}" is no duration (90d) and no date (2027-01-31).`)
  return new Date(time).toISOString()
}
