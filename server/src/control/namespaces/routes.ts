import type { HandlersOf } from '../handler.ts'
import { checkNamespace } from './service.ts'

export const namespaceHandlers: HandlersOf<'namespaces.check'> = {
  'namespaces.check': ({ runtime }, { params }) => checkNamespace(runtime, params.namespace),
}
