import type { ProjectId } from './project-id.ts'

/** What the data plane knows about a project that is not deleted. */
export interface AccessProject {
  readonly id: ProjectId
  readonly namespace: string
  /** Null: unlimited. */
  readonly quotaBytes: number | null
  /** Whether anyone may pull the repository with this path (below the namespace), whether it exists or not. */
  isPublic(path: string): boolean
  /** An index may name manifests that are not here. */
  readonly allowSparseIndexes: boolean
}
