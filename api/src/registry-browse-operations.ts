import { inProject } from './access.ts'
import type { Operation } from './operation.ts'
import { pageQuery } from './paging.ts'
import {
  browsedManifest,
  browsedManifestParams,
  browsedRepositoryPage,
  browsedRepositoryParams,
  browsedTagPage,
  browseQuery,
} from './registry-browse.ts'
import { registryParams } from './registries.ts'

const ERRORS = [
  'project_not_found',
  'registry_not_found',
  'registry_kind',
  'secret_unreadable',
  'registry_failed',
] as const

/** Operations that look into a third-party registry with its stored login. */
export const REGISTRY_BROWSE_OPERATIONS = {
  'registries.repositories': {
    method: 'GET',
    path: '/projects/{project}/registries/{registry}/repositories',
    summary: 'List the repositories of a third-party registry',
    description:
      'Asks the registry itself. Docker Hub, GHCR and some others have no such list; then `reason` says so, and repositories are found by their names.',
    params: registryParams,
    query: browseQuery,
    body: null,
    status: 200,
    response: browsedRepositoryPage,
    errors: ERRORS,
    access: inProject('registries.read'),
  },
  'registries.tags': {
    method: 'GET',
    path: '/projects/{project}/registries/{registry}/repositories/{repository}/tags',
    summary: 'List the tags of a repository of a third-party registry',
    description: 'Asks the registry itself. In the order in which it answers.',
    params: browsedRepositoryParams,
    query: pageQuery,
    body: null,
    status: 200,
    response: browsedTagPage,
    errors: [...ERRORS, 'repository_not_found'],
    access: inProject('registries.read'),
  },
  'registries.manifest': {
    method: 'GET',
    path: '/projects/{project}/registries/{registry}/repositories/{repository}/manifests/{reference}',
    summary: 'Show an image of a third-party registry',
    description: 'Asks the registry itself, where this may count as a pull. Nothing of it is kept.',
    params: browsedManifestParams,
    query: null,
    body: null,
    status: 200,
    response: browsedManifest,
    errors: [...ERRORS, 'manifest_not_found'],
    access: inProject('registries.read'),
  },
} as const satisfies Record<string, Operation>
