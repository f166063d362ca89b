import { ApiError } from '@berth/api/errors'
import type { Operation } from '@berth/api/operation'
import { OPERATIONS, type OperationId } from '@berth/api/operations'
import type { ProjectRow } from '../metastore/control-schema.ts'
import { loadProject } from '../metastore/queries/project.ts'
import type { CallContext } from './handler.ts'
import { HANDLERS } from './handlers.ts'
import { parseInput, type RawInput } from './parse-input.ts'
import { actorOf, type ConsolePrincipal, isSteppedUp, mayCall, mayInProject } from './principal.ts'
import type { ControlRuntime } from './runtime.ts'

export interface Call {
  readonly principal: ConsolePrincipal
  readonly requestId: string
  readonly signal: AbortSignal
  readonly input: RawInput
}

// Which handler takes which context is checked where the table of handlers is made.
type AnyHandler = (
  context: CallContext & { readonly project?: ProjectRow },
  input: RawInput,
) => Promise<unknown>

/**
 * Does one operation for one caller: parse, decide, act. The decision is made on the parsed request, by the rule of the
 * operation's own row in the table; what no rule allows is denied.
 * Raises `validation_failed`, `forbidden`, `step_up_required`, `project_not_found` and what the handler raises.
 */
export async function callOperation(runtime: ControlRuntime, id: OperationId, call: Call): Promise<unknown> {
  const operation: Operation = OPERATIONS[id]
  const input = parseInput(operation, call.input)
  const { principal, requestId, signal } = call
  const context: CallContext = {
    runtime,
    principal,
    requestId,
    signal,
    origin: () => ({ actor: actorOf(principal), requestId, nowMs: runtime.clock.nowMs() }),
  }
  const handler = HANDLERS[id] as AnyHandler
  if (operation.access.kind !== 'project') {
    if (!mayCall(principal, operation.access)) throw new ApiError('forbidden')
    requireStepUp(operation, principal, runtime)
    return handler(context, input)
  }
  const { project: reference } = input.params as { readonly project: string }
  const project = await loadProject(runtime.db.reader, reference)
  // Who may not see a project is told what is told of one that does not exist.
  const role = null
  if (project === null || !mayInProject(principal, operation.access.permission, role)) {
    throw new ApiError('project_not_found', `There is no project "${reference}".`)
  }
  requireStepUp(operation, principal, runtime)
  return handler({ ...context, project }, input)
}

/** Asked only once it is known that the caller may do it: who may not see a project learns nothing from this. */
function requireStepUp(operation: Operation, principal: ConsolePrincipal, runtime: ControlRuntime): void {
  if (operation.stepUp !== true || isSteppedUp(principal, runtime.clock.nowMs())) return
  throw new ApiError(
    'step_up_required',
    `This needs a fresh confirmation that it is you. Open ${runtime.consoleUrl}/confirm in the browser and repeat the call; for the command line log in again with berth login.`,
  )
}
