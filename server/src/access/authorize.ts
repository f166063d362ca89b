import { parseRepositoryName } from '@berth/oci/name'
import type { Scope } from '@berth/oci/scope'
import type { AccessProject } from './access-project.ts'
import type { CatalogDecision, Decision, Need } from './decision.ts'
import type { Denial, DenialDetail, DenialRule } from './denial.ts'
import { matchesAnyGlob } from './glob.ts'
import { ACTIONS, type Action, type KeyPrincipal, type Principal, type TokenAccess } from './principal.ts'

/** How a list of all repositories is named in a scope. */
const CATALOG_TYPE = 'registry'
const CATALOG_NAME = 'catalog'
const ALL_ACTIONS = '*'

/**
 * Decides whether the principal may do this to that repository. `project` is the project that has the namespace,
 * null for none (or a deleted one). Whether the repository exists plays no part, and the answers to another
 * project's namespace and to nobody's are the same.
 *
 * Denies by default. `push` does not imply `pull`, nor anything else. What anyone may pull, any principal may, with
 * a token of whatever scope.
 */
export function decide(principal: Principal, project: AccessProject | null, need: Need): Decision {
  if (project !== null && need.action === 'pull' && project.isPublic(need.path)) {
    return { outcome: 'allow', project }
  }
  if (principal.kind === 'anonymous') {
    const denial = { rule: 'sign_in_needed', detail: { action: need.action } } as const
    return { outcome: 'challenge', error: null, denial: { ...denial, projectId: project?.id ?? null } }
  }
  if (principal.expiredForUploadsOnly && need.ownRunningUpload !== true) {
    return {
      outcome: 'challenge',
      error: 'invalid_token',
      denial: denialOf(principal, 'token_only_for_uploads'),
    }
  }
  if (project === null || project.id !== principal.projectId) {
    const detail = { namespace: need.namespace, ownNamespace: principal.namespace }
    return { outcome: 'not_found', denial: denialOf(principal, 'not_here', detail) }
  }
  if (!keyAllows(principal, need.path, need.action)) {
    const who = principal.ci === null ? 'This key' : 'This trust rule'
    const reason = `${who} does not allow "${need.action}" here.`
    return { outcome: 'denied', reason, denial: keyDenial(principal, need) }
  }
  if (!tokenAllows(principal, `${need.namespace}/${need.path}`, need.action)) {
    const denial = denialOf(principal, 'token_scope', { action: need.action })
    return { outcome: 'challenge', error: 'insufficient_scope', denial }
  }
  return { outcome: 'allow', project }
}

function denialOf(principal: KeyPrincipal, rule: DenialRule, detail: DenialDetail = {}): Denial {
  return { rule, detail, projectId: principal.projectId, actor: principal.keyId }
}

/** Which of the key's own limits stands in the way; the action when both do. */
function keyDenial(principal: KeyPrincipal, { action, path }: Need): Denial {
  return principal.actions.has(action)
    ? denialOf(principal, 'key_repository', { path, repositories: principal.repositories })
    : denialOf(principal, 'key_action', { action, actions: [...principal.actions] })
}

/**
 * The decision under a host that regions share, for a key that is for some regions only. What anybody may pull stays
 * open, and another project stays what does not exist.
 */
export function withinRegion(
  principal: Principal,
  decision: Decision,
  need: Need,
  regionId: string,
): Decision {
  if (decision.outcome !== 'allow' || isForRegion(principal, regionId)) return decision
  const { project } = decision
  const isOpen = need.action === 'pull' && project.isPublic(need.path)
  return isOpen ? decision : outsideRegion(principal, regionId)
}

/** The same for the list of repositories. */
export function catalogWithinRegion(
  principal: Principal,
  decision: CatalogDecision,
  regionId: string,
): CatalogDecision {
  if (decision.outcome !== 'allow' || isForRegion(principal, regionId)) return decision
  return outsideRegion(principal, regionId)
}

function isForRegion(principal: Principal, regionId: string): boolean {
  return principal.kind !== 'key' || principal.regions.length === 0 || principal.regions.includes(regionId)
}

function outsideRegion(principal: Principal, regionId: string): Extract<Decision, { outcome: 'denied' }> {
  if (principal.kind !== 'key') throw new Error('only keys are for some regions')
  const detail = { region: regionId, regions: principal.regions }
  const denial = denialOf(principal, 'key_region', detail)
  return { outcome: 'denied', reason: 'This API key is not for this region.', denial }
}

/** Decides about the list of repositories: a key sees those of its own project that it may pull. */
export function decideCatalog(principal: Principal): CatalogDecision {
  if (principal.kind === 'anonymous') {
    const denial = { rule: 'sign_in_needed', detail: { action: 'pull' }, projectId: null } as const
    return { outcome: 'challenge', error: null, denial }
  }
  if (principal.expiredForUploadsOnly) {
    return {
      outcome: 'challenge',
      error: 'invalid_token',
      denial: denialOf(principal, 'token_only_for_uploads'),
    }
  }
  if (!principal.actions.has('pull')) {
    const reason = 'This key does not allow "pull", so it cannot list repositories.'
    const denial = denialOf(principal, 'key_action', { action: 'pull', actions: [...principal.actions] })
    return { outcome: 'denied', reason, denial }
  }
  const { tokenAccess } = principal
  if (tokenAccess !== null && !tokenAccess.some(isCatalogAccess)) {
    const denial = denialOf(principal, 'token_scope', { action: 'pull' })
    return { outcome: 'challenge', error: 'insufficient_scope', denial }
  }
  return {
    outcome: 'allow',
    projectId: principal.projectId,
    namespace: principal.namespace,
    isVisible: (path) => matchesAnyGlob(principal.repositories, path),
  }
}

/** A repository that a scope names, taken apart; null when the scope is about something else or malformed. */
export function scopeRepository(scope: Scope): { namespace: string; path: string } | null {
  if (scope.type !== 'repository' || scope.resourceClass !== null) return null
  const name = parseRepositoryName(scope.name)
  const slash = name === null ? -1 : name.indexOf('/')
  if (name === null || slash === -1) return null
  return { namespace: name.slice(0, slash), path: name.slice(slash + 1) }
}

/**
 * What of one scope the principal may have, null for nothing. `project` is the one that has the scope's namespace.
 * `*` becomes the actions that are allowed, never more.
 */
export function narrowScope(
  principal: Principal,
  scope: Scope,
  project: AccessProject | null,
): TokenAccess | null {
  if (scope.type === CATALOG_TYPE && scope.name === CATALOG_NAME && scope.resourceClass === null) {
    const isWanted = scope.actions.has(ALL_ACTIONS) && decideCatalog(principal).outcome === 'allow'
    return isWanted ? { type: CATALOG_TYPE, name: CATALOG_NAME, actions: [ALL_ACTIONS] } : null
  }
  const repository = scopeRepository(scope)
  if (repository === null) return null
  const actions = ACTIONS.filter(
    (action) =>
      (scope.actions.has(ALL_ACTIONS) || scope.actions.has(action)) &&
      decide(principal, project, { ...repository, action }).outcome === 'allow',
  )
  return actions.length === 0 ? null : { type: scope.type, name: scope.name, actions }
}

function keyAllows(principal: KeyPrincipal, path: string, action: Action): boolean {
  return principal.actions.has(action) && matchesAnyGlob(principal.repositories, path)
}

function tokenAllows(principal: KeyPrincipal, name: string, action: Action): boolean {
  if (principal.tokenAccess === null) return true
  return principal.tokenAccess.some(
    (access) => access.type === 'repository' && access.name === name && access.actions.includes(action),
  )
}

function isCatalogAccess(access: TokenAccess): boolean {
  return access.type === CATALOG_TYPE && access.name === CATALOG_NAME && access.actions.includes(ALL_ACTIONS)
}
