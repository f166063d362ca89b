/**
 * How large the parts of a multipart upload are: S3 takes 10 000 parts of at most 5 GiB. Parts begin small, so that an
 * ordinary upload needs little memory, and grow in two steps, so that 10 000 of them hold more than 1 TiB with the
 * default of 8 MiB: 1 000 × 8 MiB, 1 000 × 32 MiB, 8 000 × 144 MiB.
 */
const STEPS = [
  { parts: 1_000, factor: 1 },
  { parts: 1_000, factor: 4 },
  { parts: 8_000, factor: 18 },
] as const

/** Parts of one upload at most. */
export const PARTS_MAX = STEPS.reduce((sum, step) => sum + step.parts, 0)

/** The largest part that an upload with this base may have. */
export function largestPartBytes(basePartBytes: number): number {
  return basePartBytes * Math.max(...STEPS.map((step) => step.factor))
}

/** The size of the part after `partsBefore` others. Null when there can be no more. */
export function partSizeBytes(partsBefore: number, basePartBytes: number): number | null {
  let first = 0
  for (const step of STEPS) {
    if (partsBefore < first + step.parts) {
      return basePartBytes * step.factor
    }
    first += step.parts
  }
  return null
}

/** The size of the first `parts` parts together. */
export function partsTotalBytes(parts: number, basePartBytes: number): number {
  let left = parts
  let totalBytes = 0
  for (const step of STEPS) {
    const inStep = Math.min(left, step.parts)
    totalBytes += inStep * basePartBytes * step.factor
    left -= inStep
  }
  return totalBytes
}
