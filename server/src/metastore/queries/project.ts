import type { Kysely } from 'kysely'
import type { ControlSchema, ProjectRow } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import { publishAccessChange } from './access-feed.ts'
import { type ChangeOrigin, insertControlAuditEvent } from './control-audit.ts'
import { insertManagedRegistriesOfProject } from './registry.ts'

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

/** Projects that are not deleted, by namespace, after the given one. */
export async function listProjects(
  reader: Kysely<ControlSchema>,
  page: { readonly afterNamespace: string | null; readonly limit: number },
): Promise<ProjectRow[]> {
  let query = reader.selectFrom('project').selectAll().where('deleted_at', 'is', null)
  if (page.afterNamespace !== null) query = query.where('namespace', '>', page.afterNamespace)
  return query.orderBy('namespace').limit(page.limit).execute()
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
}

/** `seq`: the access change to wait for. */
export type ProjectCreated =
  | { readonly ok: true; readonly seq: number; readonly project: ProjectRow }
  | { readonly ok: false; readonly reason: 'namespace_taken' }

/**
 * Creates a project with its managed registry in each region. A namespace is taken when any project has or had it,
 * or when it is some project's id: paths of the console take either, and must never mean two projects.
 */
export const createProject = defineCommand<
  ControlSchema,
  { readonly project: NewProject; readonly origin: ChangeOrigin },
  ProjectCreated
>('project.create', async (tx, { project, origin }) => {
  const clash = await tx
    .selectFrom('project')
    .select('id')
    .where((where) => where.or([where('id', '=', project.namespace), where('namespace', '=', project.id)]))
    .executeTakeFirst()
  if (clash !== undefined) return { ok: false, reason: 'namespace_taken' }
  const row = await tx
    .insertInto('project')
    .values({
      id: project.id,
      namespace: project.namespace,
      name: project.name,
      quota_bytes: project.quotaBytes,
      public_repositories: JSON.stringify(project.publicRepositories),
      allow_sparse_indexes: project.allowSparseIndexes ? 1 : 0,
      created_at: origin.nowMs,
      deleted_at: null,
    })
    .onConflict((conflict) => conflict.column('namespace').doNothing())
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) return { ok: false, reason: 'namespace_taken' }
  await insertManagedRegistriesOfProject(tx, project.id, origin.nowMs)
  await insertControlAuditEvent(tx, origin, {
    projectId: project.id,
    action: 'project.create',
    target: project.namespace,
    detail: { name: project.name },
  })
  const seq = await publishAccessChange(tx, 'project', project.id, origin.nowMs)
  return { ok: true, seq, project: row }
})

/** Fields that are left out stay as they are. */
export interface ProjectChange {
  readonly name?: string
  readonly quotaBytes?: number | null
  readonly publicRepositories?: readonly string[]
  readonly allowSparseIndexes?: boolean
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
      ...(change.allowSparseIndexes === undefined
        ? {}
        : { allow_sparse_indexes: change.allowSparseIndexes ? 1 : 0 }),
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
 * Marks a project deleted and publishes it: from then on nothing of it is served. Its keys end with it. The row
 * stays, so that the namespace is never another project's; the regions remove the data.
 */
export const deleteProject = defineCommand<
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
