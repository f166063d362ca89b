import { parseScopes, type Scope } from '@berth/oci/scope'
import type { AccessDirectory } from './access-directory.ts'
import { narrowScope, scopeRepository } from './authorize.ts'
import type { ProjectRecord } from './records.ts'

/** What a request with a CI token says of the project that it is about. */
export interface ProjectHints {
  /** Texts of scopes, as clients send them. */
  readonly wanted: readonly string[]
  /** An audience or a user name; null: none. */
  readonly namespace: string | null
  /** The namespace is meant as one; else it is a user name, which may be anything. */
  readonly isNamespaceBinding: boolean
}

/**
 * `named`: only this project's rules are asked; null when nobody has the namespace, or the names contradict each other.
 * `unnamed`: the request says nothing of a project.
 */
export type MeantProject =
  | { readonly kind: 'named'; readonly namespace: string; readonly project: ProjectRecord | null }
  | { readonly kind: 'several' | 'unnamed' }

/** User names that our own guides and snippets tell people to use for any project. */
const GENERIC_USER_NAMES: ReadonlySet<string> = new Set(['api', 'ci', 'oidc'])

/**
 * The project that a request names: by its audience; by a user name that is a project's namespace; and by the repositories
 * that it asks for. A project that is named is the only one whose rules may answer, whether or not any of them fits:
 * otherwise whoever trusts another project's repository, too, would get its jobs when that project's own rule does not fit.
 */
export async function findMeantProject(
  directory: AccessDirectory,
  { wanted, namespace, isNamespaceBinding }: ProjectHints,
): Promise<MeantProject> {
  if (namespace !== null && isNamespaceBinding) {
    return { kind: 'named', namespace, project: await loadLive(directory, namespace) }
  }
  const byUser =
    namespace === null || GENERIC_USER_NAMES.has(namespace) ? null : await loadLive(directory, namespace)
  const { closed, open } = await namespacesOf(directory, wanted)
  if (byUser !== null) {
    // What anybody may pull says little of whose job it is: jobs use other projects' base images.
    const isContradicted = closed.size > 0 && !closed.has(byUser.namespace)
    return { kind: 'named', namespace: byUser.namespace, project: isContradicted ? null : byUser }
  }
  return oneOf(directory, closed.size > 0 ? closed : open)
}

async function oneOf(directory: AccessDirectory, namespaces: ReadonlySet<string>): Promise<MeantProject> {
  const [first] = namespaces
  if (first === undefined) return { kind: 'unnamed' }
  const projects: ProjectRecord[] = []
  for (const namespace of namespaces) {
    const project = await loadLive(directory, namespace)
    if (project !== null) projects.push(project)
  }
  if (projects.length > 1) return { kind: 'several' }
  const [project = null] = projects
  return { kind: 'named', namespace: project?.namespace ?? first, project }
}

/** Namespaces of the repositories in the scopes, apart for those of which anybody may have all that is asked for. */
async function namespacesOf(
  directory: AccessDirectory,
  wanted: readonly string[],
): Promise<{ readonly closed: ReadonlySet<string>; readonly open: ReadonlySet<string> }> {
  const namespaces = { closed: new Set<string>(), open: new Set<string>() }
  const parsed = parseScopes(wanted)
  for (const scope of parsed.ok ? parsed.scopes : []) {
    const namespace = scopeRepository(scope)?.namespace
    if (namespace === undefined) continue
    const isOpen = isOpenToAll(scope, await loadLive(directory, namespace))
    namespaces[isOpen ? 'open' : 'closed'].add(namespace)
  }
  return namespaces
}

function isOpenToAll(scope: Scope, project: ProjectRecord | null): boolean {
  const granted = narrowScope({ kind: 'anonymous' }, scope, project)?.actions.length ?? 0
  return granted > 0 && granted === scope.actions.size
}

async function loadLive(directory: AccessDirectory, namespace: string): Promise<ProjectRecord | null> {
  const project = await directory.loadProjectByNamespace(namespace)
  return project === null || project.isDeleted ? null : project
}
