import type { IncomingMessage } from 'node:http'
import { parseAuthorization } from '../access/authorization-header.ts'
import { parseKey } from '../access/key.ts'
import type { RoutedRegion } from './region-router.ts'

/** A region that can be reached under the host without a region. */
export interface HomeRegion extends RoutedRegion {
  /** Where a project is at home, or where a key may be used; null: unknown here, or not chosen. A region's id. */
  homeOf(who: { readonly namespace: string } | { readonly keyId: string }): Promise<string | null>
}

const TOKEN_PATH = '/auth/token'
const REPOSITORY_PATH = /^\/v2\/([a-z0-9]+(?:[._-]+[a-z0-9]+)*)\//
const SCOPE = /^repository:([a-z0-9]+(?:[._-]+[a-z0-9]+)*)\//

/**
 * The region that a request to the host without a region is for: the home of the project that it names, else where its
 * key belongs, else the first one: all of them know all keys, and tokens of this host are good in each. It is only a way
 * to find a region; that one checks everything. Raises what `homeOf` raises.
 */
export async function chooseHomeRegion<Region extends HomeRegion>(
  regions: readonly Region[],
  request: Pick<IncomingMessage, 'headers' | 'url'>,
): Promise<Region | undefined> {
  const [first] = regions
  if (first === undefined || regions.length === 1) return first
  const byId = (id: string | null) => regions.find((region) => region.id === id)
  const namespace = namespaceOf(request.url ?? '')
  if (namespace !== null) return byId(await askHome(regions, { namespace })) ?? first
  const shown = parseAuthorization(request.headers.authorization)
  const keyId = shown.kind === 'basic' ? (parseKey(shown.password)?.id ?? null) : null
  return keyId === null ? first : (byId(await askHome(regions, { keyId })) ?? first)
}

/** Every region knows all projects and keys: one that cannot be asked must not stop the others. */
async function askHome(
  regions: readonly HomeRegion[],
  who: Parameters<HomeRegion['homeOf']>[0],
): Promise<string | null> {
  let failure: unknown = null
  for (const region of regions) {
    try {
      return await region.homeOf(who)
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

function namespaceOf(url: string): string | null {
  const [path, query] = split(url)
  const named = REPOSITORY_PATH.exec(path)?.[1]
  if (named !== undefined) return named
  if (path !== TOKEN_PATH || query === null) return null
  return SCOPE.exec(new URLSearchParams(query).get('scope') ?? '')?.[1] ?? null
}

function split(url: string): [path: string, query: string | null] {
  const mark = url.indexOf('?')
  return mark < 0 ? [url, null] : [url.slice(0, mark), url.slice(mark + 1)]
}
