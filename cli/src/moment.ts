import { CliError } from './cli-error.ts'
import { parseSeconds } from './format.ts'

/** A moment in the past: a duration before now such as `7d`, or a date such as `2027-01-31`. RFC 3339. */
export function parseMoment(text: string, nowMs: number, option: string): string {
  const seconds = parseSeconds(text)
  if (seconds !== null) return new Date(nowMs - seconds * 1000).toISOString()
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time)) {
    throw new CliError('usage', `${option} "${text}" is no duration (7d) and no date (2027-01-31).`)
  }
  return new Date(time).toISOString()
}
