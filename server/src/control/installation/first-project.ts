import { loadProject } from '../../metastore/queries/project.ts'
import { createApiKey } from '../api-keys/service.ts'
import { createProject } from '../projects/service.ts'
import type { ControlRuntime } from '../runtime.ts'

/** A project made at the first start, so that the first push needs no other step. */
export interface FirstProject {
  readonly namespace: string
  /** The key's text; it is nowhere else. */
  readonly key: string
}

const FIRST_NAMESPACE = 'demo'

/** Makes the first project with a key that may pull, push and delete. */
export async function prepareFirstProject(runtime: ControlRuntime): Promise<FirstProject> {
  const origin = { actor: 'first start', requestId: 'start', nowMs: runtime.clock.nowMs() }
  const request = { name: 'Demo', namespace: FIRST_NAMESPACE }
  const project = await createProject(runtime, request, null, origin)
  const row = await loadProject(runtime.db.reader, project.id)
  if (row === null) throw new Error('a project disappeared right after it was made')
  const { key } = await createApiKey(
    runtime,
    row,
    { name: 'first key', actions: ['pull', 'push', 'delete'] },
    null,
    origin,
  )
  return { namespace: project.namespace, key }
}
