/** How many may be inside at once, in all and for each key, and how many may wait. */
export interface PlaceLimits {
  readonly total: number
  readonly waiting: number
  /** By the prefix of a key up to its first colon. */
  readonly perKey: Readonly<Record<string, number>>
}

export interface Places {
  /**
   * Takes one place under all the keys, at once or when others leave. Answers the function that leaves again, which may
   * be called more than once. Null: too many wait already. Rejects with the signal's reason.
   */
  enter(keys: readonly string[], signal: AbortSignal): Promise<(() => void) | null>
}

interface Waiting {
  readonly keys: readonly string[]
  readonly admit: () => void
}

/** Starts empty. Who waits for a key that is full does not hold up others. */
export function createPlaces(limits: PlaceLimits): Places {
  const counts = new Map<string, number>()
  const waiting = new Set<Waiting>()
  let inside = 0

  function hasRoom(keys: readonly string[]): boolean {
    return inside < limits.total && keys.every((key) => (counts.get(key) ?? 0) < limitOf(key))
  }

  function limitOf(key: string): number {
    return limits.perKey[key.slice(0, key.indexOf(':'))] ?? limits.total
  }

  function take(keys: readonly string[]): () => void {
    inside += 1
    for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
    let left = false
    return () => {
      if (left) return
      left = true
      inside -= 1
      for (const key of keys) {
        const count = (counts.get(key) ?? 0) - 1
        if (count > 0) counts.set(key, count)
        else counts.delete(key)
      }
      admitWaiting()
    }
  }

  function admitWaiting(): void {
    for (const entry of waiting) {
      if (inside >= limits.total) return
      if (!hasRoom(entry.keys)) continue
      waiting.delete(entry)
      entry.admit()
    }
  }

  return {
    async enter(keys, signal) {
      signal.throwIfAborted()
      if (hasRoom(keys)) return take(keys)
      if (waiting.size >= limits.waiting) return null
      return new Promise((resolve, reject) => {
        const giveUp = () => {
          waiting.delete(entry)
          reject(signal.reason)
        }
        const entry: Waiting = {
          keys,
          admit: () => {
            signal.removeEventListener('abort', giveUp)
            resolve(take(keys))
          },
        }
        waiting.add(entry)
        signal.addEventListener('abort', giveUp, { once: true })
      })
    },
  }
}
