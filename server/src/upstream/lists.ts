import { parseRepositoryName, parseTag } from '@berth/oci/name'
import { discardBody, readJson } from '../outgoing/read-body.ts'
import { DEFAULT_LIST_LIMIT, MAX_CURSOR_LENGTH, MAX_LIST_BYTES, MAX_LIST_ENTRIES } from './limits.ts'
import { pullScope } from './manifests.ts'
import type { RegistryCaller } from './registry-call.ts'
import type { RegistryPlace } from './registry-place.ts'
import type { CallOptions } from './call-options.ts'
import type { UpstreamList, UpstreamPage } from './upstream.ts'
import { toUpstreamError, UpstreamError } from './upstream-error.ts'

const CATALOG_SCOPE = 'registry:catalog:*'
// Docker Hub, GHCR, GitLab and others have none, and say so in different ways.
const NO_CATALOG = [400, 401, 403, 404, 405, 501]

/** A page of a repository's tags; null: there is no such repository. Throws `UpstreamError`. */
export function fetchTags(
  caller: RegistryCaller,
  place: RegistryPlace,
  repository: string,
  page: UpstreamPage & CallOptions,
): Promise<UpstreamList | null> {
  const list = {
    path: `/v2/${repository}/tags/list`,
    scope: pullScope(repository),
    field: 'tags',
    absent: [404],
  }
  return fetchList(caller, place, { ...list, isValid: (name) => parseTag(name) !== null }, page)
}

/** A page of the registry's repositories; null: it does not list them. Throws `UpstreamError`. */
export async function fetchCatalog(
  caller: RegistryCaller,
  place: RegistryPlace,
  page: UpstreamPage & CallOptions,
): Promise<UpstreamList | null> {
  const list = { path: '/v2/_catalog', scope: CATALOG_SCOPE, field: 'repositories', absent: NO_CATALOG }
  try {
    const isValid = (name: string) => parseRepositoryName(name) !== null
    return await fetchList(caller, place, { ...list, isValid }, page)
  } catch (error) {
    // A token service that gives no token for this scope means the same, if the password is right.
    if (error instanceof UpstreamError && error.reason === 'rights') return null
    throw error
  }
}

interface List {
  readonly path: string
  readonly scope: string
  readonly field: string
  /** Statuses that mean that there is no list. */
  readonly absent: readonly number[]
  readonly isValid: (name: string) => boolean
}

async function fetchList(
  caller: RegistryCaller,
  place: RegistryPlace,
  list: List,
  { limit = DEFAULT_LIST_LIMIT, cursor, ...call }: UpstreamPage & CallOptions,
): Promise<UpstreamList | null> {
  const query = new URLSearchParams(cursor ?? '')
  if (!query.has('n')) query.set('n', String(limit))
  const response = await caller.call(
    {
      ...call,
      path: `${list.path}?${query.toString()}`,
      scope: list.scope,
      headers: { accept: 'application/json' },
      maxBytes: MAX_LIST_BYTES,
    },
    list.absent,
  )
  if (response.status !== 200) {
    discardBody(response)
    return null
  }
  try {
    const answer = await readJson(response, place.name)
    const entries =
      typeof answer === 'object' && answer !== null ? Reflect.get(answer, list.field) : undefined
    // An empty list is `null` at some registries.
    if (entries !== null && !Array.isArray(entries)) throw notAList(place)
    const names = (entries ?? [])
      .filter((entry: unknown): entry is string => typeof entry === 'string' && list.isValid(entry))
      .slice(0, MAX_LIST_ENTRIES)
    return { names, next: nextCursor(response.headers['link'], list.path, response.url) }
  } catch (error) {
    throw toUpstreamError(error)
  }
}

/**
 * The query of the next page (RFC 8288 Link, `rel="next"`), whatever the registry keeps in it. Only the query is used:
 * the path stays the one that was asked for, so a Link leads to no other place.
 */
function nextCursor(header: string | string[] | undefined, path: string, base: URL): string | null {
  const match = /^\s*<([^<>]{1,2000})>\s*;(?:[^,]*;)?\s*rel="?next"?\s*(?:[;,]|$)/i.exec(String(header ?? ''))
  const target = match?.[1]
  if (target === undefined || !URL.canParse(target, base.href)) return null
  const url = new URL(target, base.href)
  const query = url.search.slice(1)
  return url.pathname.endsWith(path) && query !== '' && query.length <= MAX_CURSOR_LENGTH ? query : null
}

function notAList(place: RegistryPlace): UpstreamError {
  return new UpstreamError({
    reason: 'bad_answer',
    message: `${place.name} answered with something that is not a list`,
    nextStep: 'Check that the host is that of a container registry.',
  })
}
