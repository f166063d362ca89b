import type { Blob, Manifest } from './content.ts'

/** What one change may have done: certain when it was answered, else both ways. */
export type Certainty = 'acknowledged' | 'in flight'

/** A change of a tag in the order in which its only writer made them. Null: deleted. */
export type TagChange = { digest: string | null; certainty: Certainty }

type BlobState = {
  blob: Blob
  /** What is possible. Garbage collection is not in it: see `isHeld`. */
  here: Set<boolean>
  /** The lease ends then at the earliest. */
  leasedUntilMs: number
}

type ManifestState = {
  manifest: Manifest
  live: Set<boolean>
  /** When deleted: it leaves the trash then at the earliest. */
  purgeAtMs: number
  /** When deleted: the tags that it lost by that, which come back with it where they are free. */
  formerTags: string[]
}

/**
 * What a repository with a single writer must contain, from what was acknowledged. A change without an answer leaves
 * both outcomes possible until somebody looks.
 */
export class RepositoryModel {
  readonly path: string
  readonly blobs = new Map<string, BlobState>()
  readonly manifests = new Map<string, ManifestState>()
  readonly tags = new Map<string, Set<string | null>>()
  readonly history = new Map<string, TagChange[]>()

  constructor(path: string) {
    this.path = path
  }

  blobPushed(blob: Blob, leasedUntilMs: number, certainty: Certainty): void {
    const state = this.blobs.get(blob.digest) ?? { blob, here: new Set([false]), leasedUntilMs: 0 }
    this.blobs.set(blob.digest, state)
    if (certainty === 'acknowledged') {
      state.here = new Set([true])
      state.leasedUntilMs = Math.max(state.leasedUntilMs, leasedUntilMs)
    } else state.here.add(true)
  }

  blobDeleted(digest: string, certainty: Certainty): void {
    const state = this.blobs.get(digest)
    if (state === undefined) return
    if (certainty === 'acknowledged') {
      state.here = new Set([false])
      state.leasedUntilMs = 0
    } else state.here.add(false)
  }

  /** An acknowledged manifest proves that all it refers to is here. */
  manifestPushed(manifest: Manifest, tags: readonly string[], certainty: Certainty): void {
    const state = this.manifests.get(manifest.digest) ?? {
      manifest,
      live: new Set([false]),
      purgeAtMs: 0,
      formerTags: [],
    }
    this.manifests.set(manifest.digest, state)
    this.#setLive(state, true, certainty)
    for (const tag of tags) this.tagChanged(tag, manifest.digest, certainty)
  }

  manifestDeleted(digest: string, purgeAtMs: number, certainty: Certainty): void {
    const state = this.manifests.get(digest)
    if (state === undefined) return
    this.#setLive(state, false, certainty)
    state.purgeAtMs = purgeAtMs
    state.formerTags = [...this.tags].filter(([, possible]) => possible.has(digest)).map(([tag]) => tag)
    for (const tag of state.formerTags) this.tagChanged(tag, null, certainty)
  }

  /** With it comes what it lists; `tags`: those that it had, or the one that was asked for. */
  manifestUndeleted(digest: string, tags: 'former' | readonly string[], certainty: Certainty): void {
    const state = this.manifests.get(digest)
    if (state === undefined) return
    const former = state.formerTags.filter((tag) => this.valueOf(tag) === null)
    this.#revive(state, certainty)
    for (const tag of tags === 'former' ? former : tags) this.tagChanged(tag, digest, certainty)
  }

  #revive(state: ManifestState, certainty: Certainty): void {
    this.#setLive(state, true, certainty)
    if (certainty === 'acknowledged') state.formerTags = []
    for (const digest of state.manifest.children) {
      const child = this.manifests.get(digest)
      if (child !== undefined && !this.isLive(digest)) this.#revive(child, certainty)
    }
  }

  tagChanged(tag: string, digest: string | null, certainty: Certainty): void {
    const changes = this.history.get(tag) ?? []
    this.history.set(tag, changes)
    changes.push({ digest, certainty })
    if (certainty === 'acknowledged') this.tags.set(tag, new Set([digest]))
    else this.tags.set(tag, new Set([...(this.tags.get(tag) ?? [null]), digest]))
  }

  /** The tag's only possible value, null when there is none. Throws before an unanswered change was looked at. */
  valueOf(tag: string): string | null {
    const possible = [...(this.tags.get(tag) ?? [null])]
    if (possible.length !== 1) throw new Error(`the tag ${tag} has ${possible.length} possible values`)
    return possible[0] ?? null
  }

  isLive(digest: string): boolean {
    const live = this.manifests.get(digest)?.live
    return live !== undefined && live.size === 1 && live.has(true)
  }

  liveManifests(): Manifest[] {
    return [...this.manifests.values()]
      .filter(({ manifest }) => this.isLive(manifest.digest))
      .map(({ manifest }) => manifest)
  }

  deletedManifests(): Manifest[] {
    return [...this.manifests.values()]
      .filter(({ live }) => live.size === 1 && live.has(false))
      .map(({ manifest }) => manifest)
  }

  /** Whether the blob must be readable: acknowledged, not deleted, and under a lease or referred to. */
  isHeld(digest: string, nowMs: number): boolean {
    const state = this.blobs.get(digest)
    if (state === undefined || state.here.size !== 1 || !state.here.has(true)) return false
    return state.leasedUntilMs > nowMs || this.#isReferredTo(digest, nowMs)
  }

  isDeleted(digest: string): boolean {
    const here = this.blobs.get(digest)?.here
    return here !== undefined && here.size === 1 && here.has(false)
  }

  /** Whether a manifest that is certainly live needs the blob or manifest. */
  hasLiveReferrer(digest: string): boolean {
    return this.liveManifests().some(
      ({ blobs, children }) => blobs.includes(digest) || children.includes(digest),
    )
  }

  /** Whether undeleting must work: still in the trash for certain, and all that it needs is held. */
  isRestorable(digest: string, nowMs: number): boolean {
    const state = this.manifests.get(digest)
    if (state === undefined) return false
    const { blobs, children } = state.manifest
    const complete =
      blobs.every((blob) => this.isHeld(blob, nowMs)) && children.every((child) => this.isLive(child))
    return complete && (this.isLive(digest) || state.purgeAtMs > nowMs)
  }

  #setLive(state: ManifestState, live: boolean, certainty: Certainty): void {
    if (certainty === 'acknowledged') state.live = new Set([live])
    else state.live.add(live)
    if (!live || certainty !== 'acknowledged') return
    for (const digest of state.manifest.blobs) {
      const blob = this.blobs.get(digest)
      if (blob !== undefined) blob.here = new Set([true])
    }
  }

  /** In the trash a manifest still holds its blobs; one that may be live or deleted holds them as deleted. */
  #isReferredTo(digest: string, nowMs: number): boolean {
    for (const { manifest, live, purgeAtMs } of this.manifests.values()) {
      if (!manifest.blobs.includes(digest)) continue
      if (live.size === 1 && live.has(true)) return true
      const wasLive = live.size === 2 || purgeAtMs > 0
      if (wasLive && purgeAtMs > nowMs) return true
    }
    return false
  }
}
