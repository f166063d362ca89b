import { z } from 'zod'
import { listProjects, listProjectsOfMember } from '../../metastore/queries/project.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { isOperator } from '../principal.ts'
import { createProject, deleteProject, toProject, updateProject } from './service.ts'

export const projectHandlers: HandlersOf<
  'projects.list' | 'projects.create' | 'projects.show' | 'projects.update' | 'projects.delete'
> = {
  'projects.list': async ({ runtime, principal }, { query }) => {
    const page = { afterNamespace: decodeCursor(z.string(), query.cursor), limit: query.limit + 1 }
    const { reader } = runtime.db
    const userId = principal.kind === 'person' ? principal.userId : null
    const rows =
      userId === null || isOperator(principal)
        ? await listProjects(reader, userId, page)
        : await listProjectsOfMember(reader, userId, page)
    return pageOfRows(
      rows,
      query.limit,
      ({ project, role }) => toProject(runtime, project, role),
      ({ project }) => project.namespace,
    )
  },
  'projects.create': ({ runtime, principal, origin }, { body }) =>
    createProject(runtime, body, principal.kind === 'person' ? principal.userId : null, origin()),
  'projects.show': async ({ runtime, project, role }) => toProject(runtime, project, role),
  'projects.update': ({ runtime, project, role, origin }, { body }) =>
    updateProject(runtime, project.id, body, role, origin()),
  'projects.delete': ({ runtime, project, origin }, { query }) =>
    deleteProject(runtime, project, query.confirm, origin()),
}
