import type { Role } from '@berth/api/access'
import type { Kysely } from 'kysely'
import type { ControlSchema, ProjectRow } from '../control-schema.ts'
import { defineCommand, defineErasingCommand, Rollback } from '../database.ts'
import { publishAccessChange } from './access-feed.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { insertMember } from './member.ts'
import { insertManagedRegistriesOfProject } from './registry.ts'
import { deleteWebhooksOfProject } from './webhook.ts'

/** A project that is not deleted, by id or namespace. Null: there is none. */
export async function loadProject(
  reader: Kysely<ControlSchema>,
  reference: string,
): Promise<ProjectRow | null> {
  const row = await reader
    .selectFrom('project')
    .selectAll()
    .where('deleted_at', 'is', null)
    .where((where) => where.or([where('id', '=', reference), where('namespace', '=', reference)]))
    .executeTakeFirst()
  return row ?? null
}

/** A project and what the caller is in it. */
export interface ProjectWithRole {
  readonly project: ProjectRow
  /** Null: no member. */
  readonly role: Role | null
}

/**
 * A project that is not deleted with the role of a person in it, in one statement: finding no project and finding one
 * that the person has no role in are the same work.
 */
export async function loadProjectWithRole(
  reader: Kysely<ControlSchema>,
  reference: string,
  userId: string | null,
): Promise<ProjectWithRole | null> {
  const row = await selectWithRole(reader, userId)
    .where((where) =>
      where.or([where('project.id', '=', reference), where('project.namespace', '=', reference)]),
    )
    .executeTakeFirst()
  return row === undefined ? null : withRole(row)
}

function selectWithRole(reader: Kysely<ControlSchema>, userId: string | null) {
  return reader
    .selectFrom('project')
    .leftJoin('project_member', (join) =>
      join
        .onRef('project_member.project_id', '=', 'project.id')
        .on('project_member.user_id', '=', userId ?? ''),
    )
    .selectAll('project')
    .select('project_member.role')
    .where('project.deleted_at', 'is', null)
}

function withRole({ role, ...project }: ProjectRow & { readonly role: Role | null }): ProjectWithRole {
  return { project, role }
}

interface ProjectPageRequest {
  readonly afterNamespace: string | null
  readonly limit: number
}

/** All projects that are not deleted, by namespace, after the given one, with the role of this person in them. */
export async function listProjects(
  reader: Kysely<ControlSchema>,
  userId: string | null,
  page: ProjectPageRequest,
): Promise<ProjectWithRole[]> {
  let query = selectWithRole(reader, userId)
  if (page.afterNamespace !== null) query = query.where('project.namespace', '>', page.afterNamespace)
  return (await query.orderBy('project.namespace').limit(page.limit).execute()).map(withRole)
}

/** The projects that a person is a member of, by namespace, after the given one. Costs a page, however many there are. */
export async function listProjectsOfMember(
  reader: Kysely<ControlSchema>,
  userId: string,
  page: ProjectPageRequest,
): Promise<ProjectWithRole[]> {
  let query = reader
    .selectFrom('project_member')
    .innerJoin('project', 'project.id', 'project_member.project_id')
    .selectAll('project')
    .select('project_member.role')
    .where('project_member.user_id', '=', userId)
    .where('project.deleted_at', 'is', null)
  if (page.afterNamespace !== null) {
    query = query.where('project_member.namespace', '>', page.afterNamespace)
  }
  return (await query.orderBy('project_member.namespace').limit(page.limit).execute()).map(withRole)
}

/** The oldest project that is not deleted; null when there is none. */
export async function loadFirstProject(reader: Kysely<ControlSchema>): Promise<ProjectRow | null> {
  const row = await reader
    .selectFrom('project')
    .selectAll()
    .where('deleted_at', 'is', null)
    .orderBy('created_at')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst()
  return row ?? null
}

export interface NewProject {
  readonly id: string
  readonly namespace: string
  readonly name: string
  readonly quotaBytes: number | null
  readonly publicRepositories: readonly string[]
  readonly allowSparseIndexes: boolean
  /** Null: the first region. */
  readonly homeRegionId?: string | null
}

/** `seq`: the access change to wait for. */
export type ProjectCreated =
  | { readonly ok: true; readonly seq: number; readonly project: ProjectRow }
  | { readonly ok: false; readonly reason: 'namespace_taken' }

/** A deleted project whose namespace may go to another one, because nothing of it is left in any region. */
export interface Released {
  readonly projectId: string
}

/**
 * Creates a project with its managed registry in each region; `ownerId` becomes its owner (null: it has none yet). A
 * namespace is taken when a project has or had it, except by `released`, or when it is some project's id: paths of the
 * console take either, and must never mean two projects.
 */
export const createProject = defineCommand<
  ControlSchema,
  {
    readonly project: NewProject
    readonly ownerId?: string | null
    readonly released?: Released | null
    readonly origin: ChangeOrigin
  },
  ProjectCreated
>('project.create', async (tx, { project, ownerId = null, released = null, origin }) => {
  const clash = await tx
    .selectFrom('project')
    .select('id')
    .where((where) => where.or([where('id', '=', project.namespace), where('namespace', '=', project.id)]))
    .executeTakeFirst()
  if (clash !== undefined) return { ok: false, reason: 'namespace_taken' }
  if (released !== null) await releaseNamespace(tx, released.projectId, project.namespace, origin)
  const row = await tx
    .insertInto('project')
    .values({
      id: project.id,
      namespace: project.namespace,
      name: project.name,
      quota_bytes: project.quotaBytes,
      public_repositories: JSON.stringify(project.publicRepositories),
      allow_sparse_indexes: project.allowSparseIndexes ? 1 : 0,
      home_region_id: project.homeRegionId ?? null,
      created_at: origin.nowMs,
      deleted_at: null,
      was_public: project.publicRepositories.length > 0 ? 1 : 0,
    })
    .onConflict((conflict) => conflict.column('namespace').doNothing())
    .returningAll()
    .executeTakeFirst()
  // Undoes the release, too: somebody else was faster.
  if (row === undefined) throw new Rollback({ ok: false, reason: 'namespace_taken' } satisfies ProjectCreated)
  await insertManagedRegistriesOfProject(tx, project.id, origin.nowMs)
  await insertControlAuditEvent(tx, origin, {
    projectId: project.id,
    action: 'project.create',
    target: project.namespace,
    detail: { name: project.name },
  })
  if (ownerId !== null) {
    const owner = {
      project_id: project.id,
      user_id: ownerId,
      namespace: project.namespace,
      role: 'owner',
    } as const
    await insertMember(tx, owner, origin)
  }
  const seq = await publishAccessChange(tx, 'project', project.id, origin.nowMs)
  return { ok: true, seq, project: row }
})

/**
 * Takes a namespace from a deleted project: its row gets a name that no namespace can have. Published before the new
 * project is, so that a region never knows the namespace as two projects'.
 */
async function releaseNamespace(
  tx: Kysely<ControlSchema>,
  projectId: string,
  namespace: string,
  origin: ChangeOrigin,
): Promise<void> {
  const row = await tx
    .updateTable('project')
    .set({ namespace: `${namespace}~${projectId}` })
    .where('id', '=', projectId)
    .where('namespace', '=', namespace)
    .where('deleted_at', 'is not', null)
    .where('was_public', '=', 0)
    .returning('id')
    .executeTakeFirst()
  if (row === undefined) return
  await insertControlAuditEvent(tx, origin, {
    projectId,
    action: 'project.release_namespace',
    target: namespace,
    detail: {},
  })
  await publishAccessChange(tx, 'project', projectId, origin.nowMs)
}

/** Who has or had a namespace: enough to say whether it can be had. Null: nobody. A project whose id it is counts. */
export async function loadNamespaceHolder(
  reader: Kysely<ControlSchema>,
  namespace: string,
): Promise<Pick<ProjectRow, 'id' | 'namespace' | 'deleted_at' | 'was_public'> | null> {
  const row = await reader
    .selectFrom('project')
    .select(['id', 'namespace', 'deleted_at', 'was_public'])
    .where((where) => where.or([where('id', '=', namespace), where('namespace', '=', namespace)]))
    .executeTakeFirst()
  return row ?? null
}

/** Fields that are left out stay as they are. */
export interface ProjectChange {
  readonly name?: string
  readonly quotaBytes?: number | null
  readonly publicRepositories?: readonly string[]
  readonly allowSparseIndexes?: boolean
  readonly homeRegionId?: string
}

/** `seq` is null when nothing changed that the data plane knows. */
export type ProjectUpdated =
  | { readonly ok: true; readonly seq: number | null; readonly project: ProjectRow }
  | { readonly ok: false; readonly reason: 'not_found' }

/** Changes a project. What the data plane must know is published. */
export const updateProject = defineCommand<
  ControlSchema,
  { readonly id: string; readonly change: ProjectChange; readonly origin: ChangeOrigin },
  ProjectUpdated
>('project.update', async (tx, { id, change, origin }) => {
  const project = await tx
    .updateTable('project')
    .set({
      ...(change.name === undefined ? {} : { name: change.name }),
      ...(change.quotaBytes === undefined ? {} : { quota_bytes: change.quotaBytes }),
      ...(change.publicRepositories === undefined
        ? {}
        : { public_repositories: JSON.stringify(change.publicRepositories) }),
      ...((change.publicRepositories ?? []).length === 0 ? {} : { was_public: 1 }),
      ...(change.allowSparseIndexes === undefined
        ? {}
        : { allow_sparse_indexes: change.allowSparseIndexes ? 1 : 0 }),
      ...(change.homeRegionId === undefined ? {} : { home_region_id: change.homeRegionId }),
    })
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  if (project === undefined) return { ok: false, reason: 'not_found' }
  await insertControlAuditEvent(tx, origin, {
    projectId: id,
    action: 'project.update',
    target: project.namespace,
    detail: { ...change },
  })
  const { name: _, ...rules } = change
  const seq =
    Object.keys(rules).length === 0 ? null : await publishAccessChange(tx, 'project', id, origin.nowMs)
  return { ok: true, seq, project }
})

export type ProjectDeletion =
  | { readonly ok: true; readonly seq: number; readonly project: ProjectRow }
  | { readonly ok: false; readonly reason: 'not_found' }

/**
 * Marks a project deleted and publishes it: from then on nothing of it is served. Its keys and memberships end with it.
 * The row stays and reserves the namespace; the regions remove the data.
 */
export const deleteProject = defineErasingCommand<
  ControlSchema,
  { readonly id: string; readonly origin: ChangeOrigin },
  ProjectDeletion
>('project.delete', async (tx, { id, origin }) => {
  const project = await tx
    .updateTable('project')
    .set({ deleted_at: origin.nowMs })
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  if (project === undefined) return { ok: false, reason: 'not_found' }
  await tx
    .updateTable('api_key')
    .set({ revoked_at: origin.nowMs })
    .where('project_id', '=', id)
    .where('revoked_at', 'is', null)
    .execute()
  await tx.deleteFrom('registry').where('project_id', '=', id).execute()
  await tx.deleteFrom('project_member').where('project_id', '=', id).execute()
  await tx.deleteFrom('invitation').where('project_id', '=', id).execute()
  await deleteWebhooksOfProject(tx, id)
  // Without its keys no copy of its secrets can be opened again, wherever one may be.
  await tx.deleteFrom('project_key').where('project_id', '=', id).execute()
  await insertControlAuditEvent(tx, origin, {
    projectId: id,
    action: 'project.delete',
    target: project.namespace,
    detail: { name: project.name },
  })
  const seq = await publishAccessChange(tx, 'project', id, origin.nowMs)
  return { ok: true, seq, project }
})

export const projectCommands = [createProject, updateProject, deleteProject]
