// Most objects have a handful of keys: comparing those costs less than a hash table per object.
const MAX_LISTED_KEYS = 12

/** The keys of one object so far, by their folded form. Made to be used again for many objects in turn. */
export class KeySet {
  #count = 0
  readonly #keys: string[] = []
  readonly #folded: string[] = []
  #table: Map<string, string> | null = null

  /** Starts over with no keys. */
  clear(): void {
    this.#count = 0
    this.#table = null
  }

  /** Adds a key, or returns the earlier key with the same folded form. */
  add(key: string, folded: string): string | null {
    if (this.#table === null && this.#count === MAX_LISTED_KEYS) this.#startTable()
    const clash = this.#table === null ? this.#listed(folded) : (this.#table.get(folded) ?? null)
    if (clash !== null) return clash
    if (this.#table === null) {
      this.#keys[this.#count] = key
      this.#folded[this.#count] = folded
    } else {
      this.#table.set(folded, key)
    }
    this.#count += 1
    return null
  }

  #listed(folded: string): string | null {
    for (let i = 0; i < this.#count; i += 1) {
      if (this.#folded[i] === folded) return this.#keys[i] as string
    }
    return null
  }

  #startTable(): void {
    this.#table = new Map()
    for (let i = 0; i < this.#count; i += 1) {
      this.#table.set(this.#folded[i] as string, this.#keys[i] as string)
    }
  }
}
