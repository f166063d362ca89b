import assert from 'node:assert/strict'

/** One change of a tag that several writers move: when it was sent, and when it was answered (never: Infinity). */
export type SharedChange = { digest: string | null; sentAt: number; answeredAt: number }

/** The changes of the tags of one repository by several writers at once. */
export class SharedTags {
  readonly path: string
  readonly #changes = new Map<string, SharedChange[]>()

  constructor(path: string) {
    this.path = path
  }

  /** To be called before the request; set `answeredAt` when it is acknowledged, `forget` it when it is refused. */
  begin(tag: string, digest: string | null, nowMs: number): SharedChange {
    const change = { digest, sentAt: nowMs, answeredAt: Number.POSITIVE_INFINITY }
    this.#changes.set(tag, [...(this.#changes.get(tag) ?? []), change])
    return change
  }

  forget(tag: string, change: SharedChange): void {
    this.#changes.set(
      tag,
      (this.#changes.get(tag) ?? []).filter((one) => one !== change),
    )
  }

  tags(): string[] {
    return [...this.#changes.keys()]
  }

  /**
   * Checks a tag's history, oldest first, and its value: each acknowledged change has one row, nothing else has any,
   * rows keep the order of changes that did not overlap, and the value is the last row's. Each digest is pushed once.
   */
  check(tag: string, history: readonly (string | null)[], value: string | null): void {
    const changes = this.#changes.get(tag) ?? []
    assert.equal(value, history.at(-1) ?? null, `${tag}: resolves to another than its history's last`)
    const where = new Map(history.map((digest, index) => [digest, index]))
    for (const { digest, answeredAt } of changes) {
      if (digest === null || answeredAt === Number.POSITIVE_INFINITY) continue
      assert.ok(where.has(digest), `${tag}: an acknowledged push of ${digest} is not in its history`)
    }
    const sent = new Set(changes.map(({ digest }) => digest))
    for (const digest of history) assert.ok(sent.has(digest), `${tag}: nobody sent ${digest}`)
    this.#checkDeletions(tag, changes, history)
    const pushes = changes.filter(({ digest }) => digest !== null && where.has(digest))
    for (const first of pushes) {
      for (const second of pushes) {
        if (first.answeredAt >= second.sentAt) continue
        const order = (where.get(first.digest) as number) < (where.get(second.digest) as number)
        assert.ok(order, `${tag}: ${second.digest} came after ${first.digest} was acknowledged`)
      }
    }
  }

  #checkDeletions(tag: string, changes: readonly SharedChange[], history: readonly (string | null)[]): void {
    const deletions = changes.filter(({ digest }) => digest === null)
    const acknowledged = deletions.filter(({ answeredAt }) => answeredAt !== Number.POSITIVE_INFINITY)
    const rows = history.filter((digest) => digest === null).length
    assert.ok(
      rows >= acknowledged.length && rows <= deletions.length,
      `${tag}: ${rows} deletions in its history, ${acknowledged.length} of ${deletions.length} were acknowledged`,
    )
  }
}
