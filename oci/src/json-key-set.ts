import { foldKey } from './key-folding.ts'

// Most objects have a handful of keys: comparing those costs less than a hash table per object.
const MAX_LISTED_KEYS = 12

/** The keys of one object so far. Made to be used again for many objects in turn. */
export class KeySet {
  #folds = true
  #count = 0
  readonly #originals: string[] = []
  readonly #folded: string[] = []
  #table: Map<string, string> | null = null

  /** Starts over with no keys. With `folds`, keys that Go's encoding/json confuses count as the same. */
  reset(folds: boolean): void {
    this.#folds = folds
    this.#count = 0
    this.#table = null
  }

  /** The form under which keys are compared here. */
  fold(key: string): string {
    return this.#folds ? foldKey(key) : key
  }

  /** Adds a key, or returns the earlier key that it clashes with: equal to it, or different in case only. */
  add(key: string): string | null {
    const folded = this.fold(key)
    if (this.#table === null && this.#count === MAX_LISTED_KEYS) this.#startTable()
    const clash = this.#table === null ? this.#listed(folded) : (this.#table.get(folded) ?? null)
    if (clash !== null) return clash
    if (this.#table === null) {
      this.#originals[this.#count] = key
      this.#folded[this.#count] = folded
    } else {
      this.#table.set(folded, key)
    }
    this.#count += 1
    return null
  }

  #listed(folded: string): string | null {
    for (let i = 0; i < this.#count; i += 1) {
      if (this.#folded[i] === folded) return this.#originals[i] as string
    }
    return null
  }

  #startTable(): void {
    this.#table = new Map()
    for (let i = 0; i < this.#count; i += 1) {
      this.#table.set(this.#folded[i] as string, this.#originals[i] as string)
    }
  }
}
