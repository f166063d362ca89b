import { OciError } from '@berth/oci/errors'
import type { AccessProject } from '../access/access-project.ts'
import type { Authentication } from '../access/authentication.ts'
import type { Decision } from '../access/decision.ts'
import type { Denial } from '../access/denial.ts'
import type { Action, KeyPrincipal, Principal } from '../access/principal.ts'
import { ciActor } from '../metastore/queries/ci-token.ts'
import type { WriteContext } from '../metastore/queries/write-context.ts'
import { AuthenticationRequired } from './challenge.ts'
import { unavailable } from './errors.ts'
import { type Exchange, header } from './exchange.ts'
import { explained } from './explanation.ts'
import type { RepositoryTarget } from './request.ts'
import type { RegionRuntime } from './runtime.ts'

/** The right to do what a request asks for: who, and in which project. */
export interface Grant {
  readonly principal: Principal
  readonly project: AccessProject
}

/** The actions that a challenge asks for: pushing includes looking whether content is there already. */
const CHALLENGED_ACTIONS: Readonly<Record<Action, string>> = {
  pull: 'pull',
  push: 'pull,push',
  delete: 'delete',
}

/** Scope of a challenge for an action on a repository. */
export function repositoryScope(repository: RepositoryTarget, action: Action): string {
  return `repository:${repository.name}:${CHALLENGED_ACTIONS[action]}`
}

/**
 * Scope of a challenge for a mount: the source must be pulled from too. It only repeats what the request names, and
 * tells nothing of whether the source exists or whose it is.
 */
export function mountScope(repository: RepositoryTarget, from: RepositoryTarget | null): string {
  const target = repositoryScope(repository, 'push')
  return from === null ? target : `${target} ${repositoryScope(from, 'pull')}`
}

/**
 * Finds out who asks. `scope` is what a challenge will name, `wanted` the scopes that the request is about. Throws UNAUTHORIZED with a challenge, TOOMANYREQUESTS
 * with Retry-After, or 503.
 */
export async function authenticate(
  runtime: RegionRuntime,
  exchange: Exchange,
  scope: string | null,
  wanted: readonly string[] = scope === null ? [] : [scope],
): Promise<Principal> {
  const authentication = await runtime.access.authenticate({
    authorization: header(exchange.req, 'authorization'),
    clientAddress: exchange.clientAddress,
    wanted,
    requestId: exchange.requestId,
  })
  const principal = principalOf(runtime, authentication, scope)
  exchange.caller.principal = principal
  return principal
}

/** The principal, or the error that says why there is none. */
export function principalOf(
  runtime: RegionRuntime,
  authentication: Authentication,
  scope: string | null,
): Principal {
  if (authentication.ok) return authentication.principal
  runtime.metrics.authenticationFailures.inc({ reason: authentication.reason })
  switch (authentication.reason) {
    case 'rate_limited':
      throw explained(
        new OciError('TOOMANYREQUESTS', 'too many failed logins with this credential', {
          headers: { 'Retry-After': String(authentication.retryAfterSeconds) },
        }),
        authentication.denial,
      )
    case 'unavailable':
      throw unavailable('the registry cannot check credentials now; try again soon')
    case 'invalid':
    case 'expired':
    case 'revoked':
      throw explained(
        new AuthenticationRequired(scope, 'invalid_token', authentication.message),
        authentication.denial,
      )
  }
}

/** Asks whether the principal may do this, and throws the answer when it is no. `scope` is what a challenge names. */
export async function authorize(
  runtime: RegionRuntime,
  principal: Principal,
  repository: RepositoryTarget,
  action: Action,
  { ownRunningUpload = false, scope = repositoryScope(repository, action) } = {},
): Promise<Grant> {
  const { namespace, path } = repository
  // No project owns a name of one component, so nobody may and nothing is there.
  const decision: Decision =
    path === '' && principal.kind === 'key'
      ? { outcome: 'not_found', denial: namesNoProject(principal, namespace) }
      : await runtime.access.authorize(principal, { namespace, path, action, ownRunningUpload })
  switch (decision.outcome) {
    case 'allow':
      return { principal, project: decision.project }
    case 'challenge':
      throw explained(new AuthenticationRequired(scope, decision.error), decision.denial)
    case 'denied':
      throw explained(new OciError('DENIED', decision.reason), decision.denial)
    case 'not_found':
      throw explained(new OciError('NAME_UNKNOWN'), decision.denial)
  }
}

function namesNoProject(
  { projectId, keyId: actor, namespace: own }: KeyPrincipal,
  namespace: string,
): Denial {
  return { rule: 'not_here', detail: { namespace, ownNamespace: own }, projectId, actor }
}

/** How audit events and the history of tags name who acts: the key, and for a trust rule also the CI job. */
export function actorOf(principal: Principal): string {
  if (principal.kind === 'anonymous') return 'anonymous'
  return principal.ci === null ? principal.keyId : ciActor(principal.keyId, principal.ci.run)
}

/** What a command needs to know of who writes. */
export function writeContext(runtime: RegionRuntime, exchange: Exchange, grant: Grant): WriteContext {
  return {
    guard: runtime.access.writeGuard(grant.principal),
    projectId: grant.project.id,
    actor: actorOf(grant.principal),
    requestId: exchange.requestId,
    nowMs: runtime.clock.nowMs(),
  }
}
