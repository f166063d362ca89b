import type { Permission, Role } from '@berth/api/access'
import type { OperationResult, ParsedInput } from '@berth/api/operation'
import type { OperationId, OperationOf } from '@berth/api/operations'
import type { ProjectRow } from '../metastore/control-schema.ts'
import type { ChangeOrigin } from '../metastore/queries/control-audit.ts'
import type { ConsolePrincipal } from './principal.ts'
import type { ControlRuntime } from './runtime.ts'

/** What every handler knows besides its parsed input. */
export interface CallContext {
  readonly runtime: ControlRuntime
  readonly principal: ConsolePrincipal
  readonly requestId: string
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal
  /** Who makes a change now, for its audit event. */
  origin(): ChangeOrigin
}

/** The context of an operation inside a project: the project that the path names, which the caller may act on. */
export interface ProjectCallContext extends CallContext {
  readonly project: ProjectRow
  /** What the caller is in the project; null: an operator who is no member. */
  readonly role: Role | null
  /** What else the caller may do here: for what an operation shows or changes beyond its own rule. */
  may(permission: Permission): boolean
}

/** Operations whose access rule is a permission in a project get that project; the others get none. */
export type ContextOf<Id extends OperationId> = OperationOf<Id>['access'] extends { readonly kind: 'project' }
  ? ProjectCallContext
  : CallContext

/** Does one operation. Raises `ApiError` for expected failures. */
export type Handler<Id extends OperationId> = (
  context: ContextOf<Id>,
  input: ParsedInput<OperationOf<Id>>,
) => Promise<OperationResult<OperationOf<Id>>>

/** One handler for each operation: one that is missing does not compile. */
export type Handlers = { readonly [Id in OperationId]: Handler<Id> }

/** The handlers of one noun. */
export type HandlersOf<Id extends OperationId> = Pick<Handlers, Id>
