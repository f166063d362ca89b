import type { AccessProject } from './access-project.ts'
import type { Denial } from './denial.ts'
import type { Action } from './principal.ts'
import type { ProjectId } from './project-id.ts'

/** What a request wants to do to one repository. */
export interface Need {
  readonly namespace: string
  /** The repository's path below the namespace. */
  readonly path: string
  readonly action: Action
  /**
   * The request goes on with an upload session that this principal's own key started (`session.credential_id ===
   * principal.keyId`): then a token that expired a short while ago still does. Default false.
   */
  readonly ownRunningUpload?: boolean
}

/** The answer of `authorize`. */
export type Decision =
  | { readonly outcome: 'allow'; readonly project: AccessProject }
  /** 401. Nobody in particular asks (`error: null`), or with a token that is narrower than its key, or expired. */
  | Challenge
  /** 403: the key itself does not allow it, inside its own project. `reason` may be sent to the client. */
  | { readonly outcome: 'denied'; readonly reason: string; readonly denial: Denial }
  /** 404: another project's repository or nobody's: the same answer. */
  | { readonly outcome: 'not_found'; readonly denial: Denial }

export interface Challenge {
  readonly outcome: 'challenge'
  readonly error: 'insufficient_scope' | 'invalid_token' | null
  readonly denial: Denial
}

/** The answer of `authorizeCatalog`: whose repositories are listed, and which of them. */
export type CatalogDecision =
  | {
      readonly outcome: 'allow'
      readonly projectId: ProjectId
      readonly namespace: string
      /** Whether the repository with this path (below the namespace) belongs into the list. */
      isVisible(path: string): boolean
    }
  | Challenge
  | { readonly outcome: 'denied'; readonly reason: string; readonly denial: Denial }
