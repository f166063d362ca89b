/** What one request did to a tag, or saw of it. */
export type TagEffect =
  | { kind: 'set'; digest: string }
  | { kind: 'unset' }
  /** The delete of a manifest: it unset the tag if that pointed there. */
  | { kind: 'unset if'; digest: string }
  /** Null: there was no such tag. */
  | { kind: 'saw'; digest: string | null }

/** A request with the moments between which it took effect: whole numbers that rise with time, each used once. */
export type TagOperation = {
  /** The credential, as the history names it; each sends one request after the other. */
  actor: string
  invokedAt: number
  answeredAt: number
  effect: TagEffect
}

/** A row of a tag's history, oldest first. */
export type TagVersion = { digest: string | null; actor: string }

/**
 * Whether a tag's history explains everything that was acknowledged and seen (invariant 3): each acknowledged change is in it once
 * and nothing else is, in an order that agrees with real time, and each read saw the tag as it was at some moment
 * while it ran. Null, or what is wrong.
 */
export function explainTag(
  history: readonly TagVersion[],
  operations: readonly TagOperation[],
): string | null {
  const placed = placeWrites(history, operations)
  if (typeof placed === 'string') return placed
  const inOrder = operations.toSorted((a, b) => a.invokedAt - b.invokedAt)
  const writes = [...placed].map(([operation, position]) => ({ operation, position }))
  const done: { answeredAt: number; position: number }[] = []
  for (const operation of inOrder) {
    const before = done.filter(({ answeredAt }) => answeredAt < operation.invokedAt)
    const lowest = Math.max(0, ...before.map(({ position }) => position))
    const after = writes.filter((write) => write.operation.invokedAt > operation.answeredAt)
    const highest = Math.min(history.length, ...after.map(({ position }) => position - 1))
    const position = positionOf(operation)
    if (position === undefined) continue
    if (position === null)
      return `${show(operation)} saw what the tag was not then: ${range(lowest, highest)}`
    done.push({ answeredAt: operation.answeredAt, position })

    function positionOf({ effect }: TagOperation): number | null | undefined {
      if (effect.kind !== 'saw') {
        const own = placed instanceof Map ? placed.get(operation) : undefined
        // Its own place comes after what was done before; equal is what an earlier read saw already.
        return own === undefined || own >= lowest ? own : null
      }
      for (let candidate = lowest; candidate <= highest; candidate += 1) {
        if (valueAt(history, candidate) === effect.digest) return candidate
      }
      return null
    }
  }
  return writesInTime(writes)
}

function writesInTime(writes: readonly { operation: TagOperation; position: number }[]): string | null {
  for (const first of writes) {
    for (const second of writes) {
      const isBefore = first.operation.answeredAt < second.operation.invokedAt
      if (isBefore && first.position >= second.position) {
        return `${show(second.operation)} is in the history before ${show(first.operation)}, which had ended`
      }
    }
  }
  return null
}

function valueAt(history: readonly TagVersion[], position: number): string | null {
  return position === 0 ? null : (history[position - 1]?.digest ?? null)
}

/** Positions (from 1) of the writes, or why there are none: each actor's rows are its writes in their order. */
function placeWrites(
  history: readonly TagVersion[],
  operations: readonly TagOperation[],
): Map<TagOperation, number> | string {
  const placed = new Map<TagOperation, number>()
  const actors = new Set([...history, ...operations].map(({ actor }) => actor))
  for (const actor of actors) {
    const positions = history.flatMap((row, index) => (row.actor === actor ? [index + 1] : []))
    const writes = operations
      .filter((operation) => operation.actor === actor && operation.effect.kind !== 'saw')
      .toSorted((a, b) => a.invokedAt - b.invokedAt)
    const matched = match(history, positions, writes)
    if (matched === null) {
      const rows = positions.map((position) => valueAt(history, position) ?? 'deleted')
      return `the history has of ${actor}: ${rows.join(', ')}; it was acknowledged: ${writes.map(show).join(', ')}`
    }
    for (const [operation, position] of matched) placed.set(operation, position)
  }
  return placed
}

function match(
  history: readonly TagVersion[],
  positions: readonly number[],
  writes: readonly TagOperation[],
): [TagOperation, number][] | null {
  const [write, ...later] = writes
  if (write === undefined) return positions.length === 0 ? [] : null
  const [position, ...rest] = positions
  if (position !== undefined && fits(history, position, write.effect)) {
    const matched = match(history, rest, later)
    if (matched !== null) return [[write, position], ...matched]
  }
  return write.effect.kind === 'unset if' ? match(history, positions, later) : null
}

function fits(history: readonly TagVersion[], position: number, effect: TagEffect): boolean {
  const value = valueAt(history, position)
  switch (effect.kind) {
    case 'set':
      return value === effect.digest
    case 'unset':
      return value === null
    case 'unset if':
      return value === null && valueAt(history, position - 1) === effect.digest
    case 'saw':
      return false
  }
}

function show({ actor, effect, invokedAt, answeredAt }: TagOperation): string {
  const digest = 'digest' in effect ? ` ${effect.digest?.slice(0, 19) ?? 'nothing'}` : ''
  return `[${invokedAt}–${answeredAt}] ${actor} ${effect.kind}${digest}`
}

function range(lowest: number, highest: number): string {
  return `versions ${lowest} to ${highest} were possible`
}
