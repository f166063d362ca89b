import { z } from 'zod'
import { listProjects } from '../../metastore/queries/project.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import { createProject, deleteProject, toProject, updateProject } from './service.ts'

export const projectHandlers: HandlersOf<
  'projects.list' | 'projects.create' | 'projects.show' | 'projects.update' | 'projects.delete'
> = {
  'projects.list': async ({ runtime }, { query }) => {
    const afterNamespace = decodeCursor(z.string(), query.cursor)
    const rows = await listProjects(runtime.db.reader, { afterNamespace, limit: query.limit + 1 })
    return pageOfRows(rows, query.limit, toProject, (row) => row.namespace)
  },
  'projects.create': (context, { body }) => createProject(context.runtime, body, context.origin()),
  'projects.show': async ({ project }) => toProject(project),
  'projects.update': ({ runtime, project, origin }, { body }) =>
    updateProject(runtime, project.id, body, origin()),
  'projects.delete': ({ runtime, project, origin }, { query }) =>
    deleteProject(runtime, project, query.confirm, origin()),
}
