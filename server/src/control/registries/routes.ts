import { ApiError } from '@berth/api/errors'
import { z } from 'zod'
import { listRegistries } from '../../metastore/queries/registry.ts'
import { decodeCursor, pageOfRows } from '../cursor.ts'
import type { HandlersOf } from '../handler.ts'
import {
  generateCredentials,
  revokeCredentials,
  rotateCredentials,
  scheduleRotation,
  showCredentials,
} from './credentials.ts'
import { createRegistry, deleteRegistry, findRegistry, updateRegistry } from './service.ts'
import { testRegistry } from './test-registry.ts'
import { toRegistry } from './to-registry.ts'

export const registryHandlers: HandlersOf<
  | 'registries.list'
  | 'registries.create'
  | 'registries.show'
  | 'registries.update'
  | 'registries.delete'
  | 'registries.test'
  | 'registries.generateCredentials'
  | 'registries.showCredentials'
  | 'registries.rotateCredentials'
  | 'registries.revokeCredentials'
> = {
  'registries.list': async ({ runtime, project }, { query }) => {
    const afterId = decodeCursor(z.string(), query.cursor)
    const rows = await listRegistries(runtime.db.reader, project.id, { afterId, limit: query.limit + 1 })
    return pageOfRows(
      rows,
      query.limit,
      (row) => toRegistry(runtime, project, row),
      (row) => row.id,
    )
  },
  'registries.create': ({ runtime, project, origin }, { body }) =>
    createRegistry(runtime, project, body, origin()),
  'registries.show': async ({ runtime, project }, { params }) =>
    toRegistry(runtime, project, await findRegistry(runtime, project, params.registry)),
  'registries.update': async ({ runtime, project, origin }, { params, body }) => {
    const { rotation, ...change } = body
    if (rotation === undefined) {
      return updateRegistry(runtime, project, params.registry, change, origin())
    }
    if (Object.keys(change).length > 0) {
      throw new ApiError(
        'registry_kind',
        'A registry has a rotation schedule or a login of yours, never both.',
      )
    }
    const request = { project, id: params.registry, origin: origin() }
    const row = await scheduleRotation(runtime, request, rotation)
    return { ...toRegistry(runtime, project, row), notice: null, propagation: null }
  },
  'registries.delete': ({ runtime, project, origin }, { params }) =>
    deleteRegistry(runtime, project, params.registry, origin()),
  'registries.test': ({ runtime, project, origin }, { params, body }) =>
    testRegistry(runtime, { project, id: params.registry, origin: origin() }, body.repository),
  'registries.generateCredentials': ({ runtime, project, origin }, { params }) =>
    generateCredentials(runtime, { project, id: params.registry, origin: origin() }),
  'registries.showCredentials': ({ runtime, project, origin }, { params }) =>
    showCredentials(runtime, { project, id: params.registry, origin: origin() }),
  'registries.rotateCredentials': ({ runtime, project, origin }, { params, body }) =>
    rotateCredentials(runtime, { project, id: params.registry, origin: origin() }, body.overlapSeconds),
  'registries.revokeCredentials': ({ runtime, project, origin }, { params }) =>
    revokeCredentials(runtime, { project, id: params.registry, origin: origin() }),
}
