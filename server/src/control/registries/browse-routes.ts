import type { HandlersOf } from '../handler.ts'
import { browseManifest, browseRepositories, browseTags } from './browse.ts'

export const registryBrowseHandlers: HandlersOf<
  'registries.repositories' | 'registries.tags' | 'registries.manifest'
> = {
  'registries.repositories': ({ runtime, project }, { params, query }) =>
    browseRepositories(runtime, { project, id: params.registry }, query),
  'registries.tags': ({ runtime, project }, { params, query }) =>
    browseTags(runtime, { project, id: params.registry }, params.repository, query),
  'registries.manifest': ({ runtime, project }, { params }) =>
    browseManifest(runtime, { project, id: params.registry }, params.repository, params.reference),
}
