import { BLOBS, manifestOf, type PoolManifest, sizeOf } from './content.ts'
import { PERIODS } from './server.ts'

/** Times that a push-scoped HEAD promises: it leaves at least the first, and then gives the second. */
const MIN_LEASE_LEFT_MS = 3_600_000
const EXTENDED_LEASE_MS = 2 * 3_600_000

/** What an answer must be. */
export type Expected = { status: number; code?: string }

const ok = (status: number): Expected => ({ status })
const refused = (status: number, code: string): Expected => ({ status, code })

export const DENIED = refused(403, 'DENIED')
export const NAME_UNKNOWN = refused(404, 'NAME_UNKNOWN')
export const BLOB_UNKNOWN = refused(404, 'BLOB_UNKNOWN')
export const MANIFEST_UNKNOWN = refused(404, 'MANIFEST_UNKNOWN')

type ManifestState = {
  manifest: PoolManifest
  /** Null: live. */
  purgeAtMs: number | null
  /** Tags that it lost when it went to the trash. */
  formerTags: string[]
}

/** A repository's content. Made by its first push, and never gone again. */
export class RepositoryModel {
  /** When the lease of each member ends. */
  readonly members = new Map<string, number>()
  readonly manifests = new Map<string, ManifestState>()
  readonly tags = new Map<string, string>()
  readonly history = new Map<string, (string | null)[]>()

  live(digest: string): PoolManifest | null {
    const state = this.manifests.get(digest)
    return state === undefined || state.purgeAtMs !== null ? null : state.manifest
  }

  liveManifests(): PoolManifest[] {
    return [...this.manifests.values()].flatMap(({ manifest, purgeAtMs }) =>
      purgeAtMs === null ? [manifest] : [],
    )
  }

  resolve(reference: string): PoolManifest | null {
    const digest = this.tags.get(reference) ?? reference
    return this.live(digest)
  }

  /** What of a manifest's closure is missing here. */
  missing(manifest: PoolManifest): string[] {
    return [
      ...manifest.blobs.filter((digest) => !this.members.has(digest)),
      ...manifest.children.filter((digest) => this.live(digest) === null),
    ]
  }

  setTag(tag: string, digest: string | null): void {
    const changes = this.history.get(tag) ?? []
    changes.push(digest)
    this.history.set(tag, changes)
    if (digest === null) this.tags.delete(tag)
    else this.tags.set(tag, digest)
  }

  trash(digest: string, purgeAtMs: number): void {
    const state = this.manifests.get(digest)
    if (state === undefined) throw new Error(`${digest} was never here`)
    state.formerTags = [...this.tags].filter(([, value]) => value === digest).map(([tag]) => tag)
    for (const tag of state.formerTags) this.setTag(tag, null)
    state.purgeAtMs = purgeAtMs
  }

  /** What comes back with a manifest: what it lists that is in the trash, and referrers that went there with it. */
  trashedWith(digest: string): ManifestState[] {
    const root = this.manifests.get(digest)
    const found = new Set(root === undefined ? [] : [root])
    for (const { manifest } of found) {
      for (const state of this.manifests.values()) {
        const isListed = state.purgeAtMs !== null && manifest.children.includes(state.manifest.digest)
        const wentAlong = state.purgeAtMs === root?.purgeAtMs && state.manifest.subject === manifest.digest
        if (isListed || wentAlong) found.add(state)
      }
    }
    return [...found]
  }

  /** A manifest that is not purged, live or in the trash, holds its blobs. */
  isReferredTo(blob: string): boolean {
    return [...this.manifests.values()].some(({ manifest }) => manifest.blobs.includes(blob))
  }
}

/** An upload session. */
export type UploadModel = {
  repository: string
  keyId: string
  location: string
  blobIndex: number
  offsetBytes: number
  reservedBytes: number
  /** Whether a chunk has ended, so that the digest so far is known. */
  hasDigest: boolean
  expiresAtMs: number
}

/**
 * What a project's registry must do, from nothing but what was done in this project: whatever another project does
 * cannot change an expectation, so an answer that depends on it is a failure.
 */
export class ProjectModel {
  readonly namespace: string
  readonly id: string
  quotaBytes: number | null = null
  readonly repositories = new Map<string, RepositoryModel>()
  /** Each digest once, until garbage collection takes it. */
  readonly blobs = new Set<string>()
  /** Those of them that only manifests in the trash refer to: they count as trash. */
  readonly idle = new Set<string>()
  readonly #nowMs: () => number
  uploads: UploadModel[] = []

  constructor(namespace: string, id: string, nowMs: () => number) {
    this.namespace = namespace
    this.id = id
    this.#nowMs = nowMs
  }

  usedBytes(): number {
    let sum = 0
    for (const digest of this.blobs) if (!this.idle.has(digest)) sum += sizeOf(digest)
    for (const repository of this.repositories.values()) {
      for (const { content } of repository.liveManifests()) sum += content.byteLength
    }
    return sum
  }

  leftBytes(): number | null {
    return this.quotaBytes === null ? null : this.quotaBytes - this.usedBytes()
  }

  #fits(addedBytes: number): boolean {
    const left = this.leftBytes()
    return addedBytes === 0 || left === null || addedBytes <= left
  }

  #repository(path: string): RepositoryModel {
    const known = this.repositories.get(path)
    if (known !== undefined) return known
    const made = new RepositoryModel()
    this.repositories.set(path, made)
    return made
  }

  /** Whether a session with this reservation may start. */
  mayReserve(bytes: number, except: UploadModel | null = null): boolean {
    const left = this.leftBytes()
    if (left === null) return true
    const others = this.uploads.filter((upload) => upload !== except)
    return bytes + others.reduce((sum, { reservedBytes }) => sum + reservedBytes, 0) <= left
  }

  startUpload(upload: Omit<UploadModel, 'location' | 'expiresAtMs' | 'offsetBytes' | 'hasDigest'>): Expected {
    const left = this.leftBytes()
    if (left !== null && left <= 0) return DENIED
    return this.mayReserve(upload.reservedBytes) ? ok(202) : DENIED
  }

  openUpload(upload: UploadModel): void {
    this.uploads.push(upload)
  }

  closeUpload(upload: UploadModel): void {
    this.uploads = this.uploads.filter((one) => one !== upload)
  }

  uploadExpiry(): number {
    return this.#nowMs() + PERIODS.uploadTtlMs
  }

  isExpired(upload: UploadModel): boolean {
    return upload.expiresAtMs <= this.#nowMs()
  }

  /** The transaction at the end of every upload. */
  commitBlob(path: string, digest: string): Expected {
    const added = this.blobs.has(digest) ? 0 : sizeOf(digest)
    if (!this.#fits(added)) return DENIED
    this.blobs.add(digest)
    this.#join(path, digest)
    return ok(201)
  }

  #join(path: string, digest: string): void {
    const { members } = this.#repository(path)
    members.set(digest, Math.max(members.get(digest) ?? 0, this.#nowMs() + PERIODS.leaseMs))
  }

  /** Whether the blob could be mounted; then it is. */
  mount(path: string, sources: readonly string[], digest: string): boolean {
    const source = sources.find((name) => this.repositories.get(name)?.members.has(digest))
    if (source === undefined) return false
    this.#join(path, digest)
    return true
  }

  headBlob(path: string, digest: string, mayPush: boolean): Expected {
    const found = this.getBlob(path, digest)
    if (found.status !== 200 || !mayPush) return found
    const { members } = this.#repository(path)
    const leasedUntilMs = members.get(digest) ?? 0
    if (leasedUntilMs - this.#nowMs() < MIN_LEASE_LEFT_MS) {
      members.set(digest, this.#nowMs() + EXTENDED_LEASE_MS)
    }
    return found
  }

  getBlob(path: string, digest: string): Expected {
    const repository = this.repositories.get(path)
    if (repository === undefined) return NAME_UNKNOWN
    return repository.members.has(digest) ? ok(200) : BLOB_UNKNOWN
  }

  deleteBlob(path: string, digest: string): Expected {
    const repository = this.repositories.get(path)
    if (repository === undefined) return NAME_UNKNOWN
    if (repository.liveManifests().some(({ blobs }) => blobs.includes(digest))) return DENIED
    return repository.members.delete(digest) ? ok(202) : BLOB_UNKNOWN
  }

  pushManifest(path: string, manifest: PoolManifest, tags: readonly string[]): Expected {
    const before = this.repositories.get(path) ?? new RepositoryModel()
    if (before.missing(manifest).length > 0) return refused(404, 'MANIFEST_BLOB_UNKNOWN')
    const isNew = before.live(manifest.digest) === null
    if (isNew && !this.#fits(this.#bytesToUse(manifest))) return DENIED
    for (const digest of manifest.blobs) this.idle.delete(digest)
    const repository = this.#repository(path)
    repository.manifests.set(manifest.digest, { manifest, purgeAtMs: null, formerTags: [] })
    for (const tag of tags) repository.setTag(tag, manifest.digest)
    return ok(201)
  }

  /** What a manifest adds to the use: itself, and what it takes out of the trash. */
  #bytesToUse({ content, blobs }: PoolManifest): number {
    const revived = [...new Set(blobs)].filter((digest) => this.idle.has(digest))
    return revived.reduce((sum, digest) => sum + sizeOf(digest), content.byteLength)
  }

  /** Puts manifests of a repository into the trash; what nothing live needs any more becomes idle. */
  #trash(repository: RepositoryModel, manifests: readonly PoolManifest[]): void {
    for (const { digest } of manifests) repository.trash(digest, this.#nowMs() + PERIODS.trashMs)
    const live = [...this.repositories.values()].flatMap((each) => [...each.liveManifests()])
    const needed = new Set(live.flatMap(({ blobs }) => blobs))
    // A blob that was deleted from the repository before is not held by this manifest any more.
    const held = manifests.flatMap(({ blobs }) => blobs.filter((digest) => repository.members.has(digest)))
    for (const digest of held) if (!needed.has(digest)) this.idle.add(digest)
  }

  getManifest(path: string, reference: string): Expected {
    const repository = this.repositories.get(path)
    if (repository === undefined) return NAME_UNKNOWN
    return repository.resolve(reference) === null ? MANIFEST_UNKNOWN : ok(200)
  }

  deleteTag(path: string, tag: string): Expected {
    const repository = this.repositories.get(path)
    if (repository === undefined) return NAME_UNKNOWN
    if (!repository.tags.has(tag)) return MANIFEST_UNKNOWN
    repository.setTag(tag, null)
    return ok(202)
  }

  deleteManifest(path: string, digest: string): Expected {
    const repository = this.repositories.get(path)
    if (repository === undefined) return NAME_UNKNOWN
    if (repository.live(digest) === null) return MANIFEST_UNKNOWN
    if (repository.liveManifests().some(({ children }) => children.includes(digest))) return DENIED
    this.#trash(
      repository,
      repository.liveManifests().filter((manifest) => manifest.digest === digest),
    )
    return ok(202)
  }

  /** Codes are the console's. Without tags those that it lost come back, unless they exist again. */
  undeleteManifest(path: string, digest: string, tags: readonly string[] | null = null): Expected {
    const repository = this.repositories.get(path)
    if (repository === undefined) return refused(404, 'repository_not_found')
    const state = repository.manifests.get(digest)
    if (state === undefined) return refused(404, 'manifest_not_found')
    if (state.purgeAtMs === null) return refused(409, 'not_in_trash')
    const restored = repository.trashedWith(digest)
    const back = new Set(restored.map(({ manifest }) => manifest.digest))
    const missing = restored.flatMap(({ manifest }) => repository.missing(manifest))
    if (missing.some((each) => !back.has(each))) return refused(409, 'manifest_incomplete')
    const revived = new Set(
      restored.flatMap(({ manifest }) => manifest.blobs.filter((each) => this.idle.has(each))),
    )
    const manifestBytes = restored.reduce((sum, { manifest }) => sum + manifest.content.byteLength, 0)
    if (!this.#fits([...revived].reduce((sum, each) => sum + sizeOf(each), manifestBytes)))
      return refused(409, 'quota_exceeded')
    for (const each of restored) each.purgeAtMs = null
    for (const each of revived) this.idle.delete(each)
    const wanted = tags ?? state.formerTags.filter((tag) => !repository.tags.has(tag))
    for (const tag of wanted) repository.setTag(tag, digest)
    return ok(200)
  }

  undeleteTag(path: string, tag: string): Expected {
    const repository = this.repositories.get(path)
    if (repository === undefined) return refused(404, 'repository_not_found')
    if (repository.tags.has(tag)) return refused(409, 'not_in_trash')
    const digest = repository.history.get(tag)?.findLast((value) => value !== null)
    if (digest === undefined || digest === null) return refused(404, 'tag_not_found')
    if (!repository.manifests.has(digest)) return refused(404, 'manifest_not_found')
    if (repository.live(digest) === null) return this.undeleteManifest(path, digest, [tag])
    repository.setTag(tag, digest)
    return ok(200)
  }

  deleteRepository(path: string): Expected {
    const repository = this.repositories.get(path)
    if (repository === undefined) return refused(404, 'repository_not_found')
    this.#trash(repository, repository.liveManifests())
    return ok(200)
  }

  /**
   * A cycle of garbage collection: everything that nothing holds goes, and nothing else. Manifests whose time in the
   * trash is over, then members without a manifest and without a lease, then blobs that no repository has.
   */
  collect(): void {
    const nowMs = this.#nowMs()
    this.uploads = this.uploads.filter((upload) => !this.isExpired(upload))
    for (const repository of this.repositories.values()) {
      for (const [digest, { purgeAtMs }] of repository.manifests) {
        if (purgeAtMs !== null && purgeAtMs <= nowMs) repository.manifests.delete(digest)
      }
      for (const [digest, leasedUntilMs] of repository.members) {
        if (leasedUntilMs <= nowMs && !repository.isReferredTo(digest)) repository.members.delete(digest)
      }
    }
    for (const digest of this.blobs) {
      const isHeld = [...this.repositories.values()].some(({ members }) => members.has(digest))
      if (isHeld) continue
      this.blobs.delete(digest)
      this.idle.delete(digest)
    }
  }

  /** Digests of referrers, in byte order. */
  referrers(path: string, subject: string, artifactType: string | null): PoolManifest[] {
    const live = this.repositories.get(path)?.liveManifests() ?? []
    return live
      .filter((manifest) => manifest.subject === subject)
      .filter((manifest) => artifactType === null || manifest.artifactType === artifactType)
      .toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
  }
}

/** Blob of the pool by its number. */
export function blobAt(index: number) {
  const blob = BLOBS[index % BLOBS.length]
  if (blob === undefined) throw new RangeError('the pool has no such blob')
  return blob
}

export { manifestOf }
