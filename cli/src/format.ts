const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const
const STEP = 1024

/** A size for people: `0 B`, `512 B`, `1.5 KiB`, `12 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= STEP && unit < UNITS.length - 1) {
    value /= STEP
    unit++
  }
  const text = unit === 0 || value >= 100 ? String(Math.round(value)) : String(Math.round(value * 10) / 10)
  return `${text} ${UNITS[unit] ?? ''}`
}

/** Reads a size such as `500MiB`, `10 GiB`, `1024`; null when it is none. K, M and G are binary, too. */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text.trim())
  if (match?.[1] === undefined) return null
  const power = match[2] === undefined ? 0 : 'kmgtp'.indexOf(match[2].toLowerCase()) + 1
  const bytes = Math.round(Number(match[1]) * STEP ** power)
  return Number.isSafeInteger(bytes) ? bytes : null
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** Reads a duration such as `90s`, `30m`, `12h`, `7d`, `2w` as seconds; null when it is none. */
export function parseSeconds(text: string): number | null {
  const match = /^(\d{1,9})([smhdw])$/.exec(text.trim())
  if (match?.[1] === undefined || match[2] === undefined) return null
  return Number(match[1]) * (SECONDS[match[2]] ?? 0)
}

const RELATIVE_UNITS: readonly [seconds: number, name: string][] = [
  [365 * 86_400, 'year'],
  [30 * 86_400, 'month'],
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
]

/** A moment as people say it: `just now`, `5 minutes ago`, `in 3 days`; `never` for none. */
export function formatRelative(timestamp: string | null, nowMs: number): string {
  if (timestamp === null) return 'never'
  const seconds = Math.round((Date.parse(timestamp) - nowMs) / 1000)
  const size = Math.abs(seconds)
  const [unit, name] = RELATIVE_UNITS.find(([unitSeconds]) => size >= unitSeconds) ?? [1, 'second']
  if (unit === 1) return seconds > 0 ? 'in a moment' : 'just now'
  const count = Math.round(size / unit)
  const text = `${count} ${name}${count === 1 ? '' : 's'}`
  return seconds > 0 ? `in ${text}` : `${text} ago`
}

const SHORT_DIGEST_LENGTH = 12

/** A digest short enough for a table: `sha256:0123456789ab`. */
export function shortDigest(digest: string): string {
  const colon = digest.indexOf(':')
  return digest.slice(0, colon + 1 + SHORT_DIGEST_LENGTH)
}

/**
 * Text from elsewhere made safe for a terminal: names and annotations may hold escape sequences that would move the
 * cursor or change what is shown.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '�')
}
