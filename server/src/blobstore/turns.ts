/** Lets acts on the same thing run one after the other, in the order of asking. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>()

  /** Runs `act` when no other act of this key runs. Its outcome is the result; a failure does not hold up the next. */
  async take<T>(key: string, act: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const mine = (async () => {
      await before
      return act()
    })()
    const turn = mine.then(
      () => {},
      () => {},
    )
    this.#last.set(key, turn)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === turn) {
        this.#last.delete(key)
      }
    }
  }
}
