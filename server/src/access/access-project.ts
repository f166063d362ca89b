import type { PathOwner } from './connected-registry.ts'
import type { ImmutablePatterns } from '../metastore/queries/immutable-tag.ts'
import type { ProjectId } from './project-id.ts'

/** What the data plane knows about a project that is not deleted. */
export interface AccessProject {
  readonly id: ProjectId
  readonly namespace: string
  /** Null: unlimited. */
  readonly quotaBytes: number | null
  /**
   * Whether anyone may pull the repository with this path (below the namespace), whether it exists or not. Never what
   * belongs to a connected registry: a pattern of the project says nothing about what others keep private there.
   */
  isPublic(path: string): boolean
  /** Whose a repository is, by its path below the namespace. */
  ownerOf(path: string): PathOwner
  /** Where the host without a region leads; null: to the first region. */
  readonly homeRegionId: string | null
  /** An index may name manifests that are not here. */
  readonly allowSparseIndexes: boolean
  /** Which tags of the repository with this path never move: to pass into every command that writes tags. */
  immutableIn(path: string): ImmutablePatterns
}
