/** Seeded choices: the same seed makes the same plan. */
export type Random = {
  /** A whole number between both, inclusive. */
  integer(min: number, max: number): number
  pick<T>(list: readonly T[]): T
  /** True with this probability. */
  chance(probability: number): boolean
}

/** Makes choices from a seed (mulberry32: small, and good enough to spread faults). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const integer = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1))
  return {
    integer,
    pick: (list) => {
      if (list.length === 0) throw new Error('nothing to pick from')
      return list[integer(0, list.length - 1)] as (typeof list)[number]
    },
    chance: (probability) => next() < probability,
  }
}
