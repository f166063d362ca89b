/** A stored time as the contract shows it. */
export function toTimestamp(ms: number): string {
  return new Date(ms).toISOString()
}

/** The same for a time that may be missing. */
export function toTimestampOrNull(ms: number | null): string | null {
  return ms === null ? null : toTimestamp(ms)
}
