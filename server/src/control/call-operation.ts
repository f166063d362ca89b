import { type AccessRule, type Permission, rolesWith } from '@berth/api/access'
import { API_ERRORS, ApiError } from '@berth/api/errors'
import type { Operation } from '@berth/api/operation'
import { OPERATIONS, type OperationId } from '@berth/api/operations'
import { loadProjectWithRole } from '../metastore/queries/project.ts'
import type { CallContext, ProjectCallContext } from './handler.ts'
import { HANDLERS } from './handlers.ts'
import { parseInput, type RawInput } from './parse-input.ts'
import {
  actorOf,
  type ConsolePrincipal,
  isOperator,
  isSteppedUp,
  mayCall,
  mayInProject,
} from './principal.ts'
import { explained } from './refusals/note-refusal.ts'
import type { ControlRuntime } from './runtime.ts'

export interface Call {
  readonly principal: ConsolePrincipal
  readonly requestId: string
  readonly signal: AbortSignal
  readonly input: RawInput
}

// Which handler takes which context is checked where the table of handlers is made.
type AnyHandler = (context: CallContext & Partial<ProjectCallContext>, input: RawInput) => Promise<unknown>

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
    if (!mayCall(principal, operation.access, runtime.projectCreation)) {
      const rule = operation.access.kind === 'person' ? 'person_only' : 'operator_only'
      const error = new ApiError('forbidden', refusalOf(operation.access))
      throw explained(error, { rule, detail: {}, projectId: null })
    }
    requireStepUp(operation, principal, runtime)
    return handler(context, input)
  }
  const inProject = await enterProject(runtime, principal, operation.access.permission, input)
  requireStepUp(operation, principal, runtime)
  return handler({ ...context, ...inProject }, input)
}

/**
 * The project that the path names, with what the caller may do there. Whoever has no role in it is told what is told of
 * a project that does not exist; a member who may not do this is told which roles may.
 */
async function enterProject(
  runtime: ControlRuntime,
  principal: ConsolePrincipal,
  permission: Permission,
  input: RawInput,
): Promise<Omit<ProjectCallContext, keyof CallContext>> {
  const { project: reference } = input.params as { readonly project: string }
  const userId = principal.kind === 'person' ? principal.userId : null
  const found = await loadProjectWithRole(runtime.db.reader, reference, userId)
  if (found === null || (found.role === null && !isOperator(principal))) {
    const error = new ApiError('project_not_found', `There is no project "${reference}".`)
    throw explained(error, { rule: 'not_here', detail: { project: reference }, projectId: null })
  }
  const { project, role } = found
  const may = (wanted: Permission) => mayInProject(principal, wanted, role)
  if (may(permission)) return { project, role, may }
  const roles = rolesWith(permission)
  const error = new ApiError(
    'forbidden',
    `Your role in this project is ${role}; this needs ${roles.join(' or ')}.`,
  )
  throw explained(error, { rule: 'role', detail: { role, permission, roles }, projectId: project.id })
}

function refusalOf(rule: AccessRule): string {
  switch (rule.kind) {
    case 'operator':
      return 'Only operators of the installation may do this.'
    case 'project_creation':
      return 'Here only operators of the installation create projects. Ask one.'
    case 'person':
      return 'This is about an account of one’s own; the operator token has none. Sign in as a person.'
    case 'signed_in':
    case 'project':
      return API_ERRORS.forbidden.description
  }
}

/** Asked only once it is known that the caller may do it: who may not see a project learns nothing from this. */
function requireStepUp(operation: Operation, principal: ConsolePrincipal, runtime: ControlRuntime): void {
  if (operation.stepUp !== true || isSteppedUp(principal, runtime.clock.nowMs())) return
  if (principal.kind === 'person' && principal.via === 'token') {
    const detail =
      'This personal access token may not do what needs a confirmation. Make one that may with berth tokens create --sensitive, or log in with berth login.'
    throw explained(new ApiError('step_up_required', detail), {
      rule: 'step_up',
      detail: {},
      projectId: null,
    })
  }
  // With the session's id, the page also confirms the session of a command line.
  const session =
    principal.kind === 'person' && principal.sessionId !== null ? `?session=${principal.sessionId}` : ''
  const error = new ApiError(
    'step_up_required',
    `This needs a fresh confirmation that it is you. Open ${runtime.consoleUrl}/confirm${session} in a browser, confirm, and repeat the call.`,
  )
  throw explained(error, { rule: 'step_up', detail: {}, projectId: null })
}
