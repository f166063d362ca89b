import { OciError } from '@berth/oci/errors'
import { nextLink, type Page } from '@berth/oci/link'
import type { CatalogDecision } from '../access/decision.ts'
import { listRepositories } from '../metastore/queries/catalog.ts'
import { type Answer, jsonAnswer } from './answer.ts'
import { AuthenticationRequired } from './challenge.ts'
import type { Exchange } from './exchange.ts'
import { explained } from './explanation.ts'
import { authenticate } from './grant.ts'
import { cacheHeaders } from './headers.ts'
import { CATALOG_MAX_ROWS, CATALOG_STEP_ROWS } from './limits.ts'
import type { RegionRuntime } from './runtime.ts'

const CATALOG_SCOPE = 'registry:catalog:*'

type AllowedCatalog = Extract<CatalogDecision, { outcome: 'allow' }>

/** `GET /v2/_catalog`: the repositories of the caller's project that it may pull, by full name, in byte order. */
export async function answerCatalog(
  runtime: RegionRuntime,
  exchange: Exchange,
  { page }: { page: Page },
): Promise<Answer> {
  const principal = await authenticate(runtime, exchange, CATALOG_SCOPE)
  const decision = runtime.access.authorizeCatalog(principal)
  if (decision.outcome === 'challenge') {
    throw explained(new AuthenticationRequired(CATALOG_SCOPE, decision.error), decision.denial)
  }
  if (decision.outcome === 'denied') throw explained(new OciError('DENIED', decision.reason), decision.denial)
  const { names, last } = await collectNames(runtime, decision, page)
  const link = last === null ? {} : { Link: nextLink(`/v2/_catalog?n=${page.limit}&last=${last}`) }
  return jsonAnswer(
    200,
    { repositories: names },
    {
      ...link,
      ...cacheHeaders({ isPublic: false, isImmutable: false }),
    },
  )
}

/**
 * One page. A key with narrow globs may have to look at many rows for a few names, so a page ends after a number of
 * rows too; it is then short, and its Link leads on from the last row that was looked at.
 */
async function collectNames(
  runtime: RegionRuntime,
  { projectId, namespace, isVisible }: AllowedCatalog,
  page: Page,
): Promise<{ names: string[]; last: string | null }> {
  const names: string[] = []
  if (page.limit === 0) return { names, last: null }
  let after = pathAfter(namespace, page.last)
  if (after === null) return { names, last: null }
  for (let rows = 0; rows < CATALOG_MAX_ROWS; rows += CATALOG_STEP_ROWS) {
    const found = await listRepositories(runtime.db.reader, { projectId, after, limit: CATALOG_STEP_ROWS })
    for (const { path } of found) {
      if (!isVisible(path)) continue
      if (names.length === page.limit) return { names, last: names.at(-1) ?? null }
      names.push(`${namespace}/${path}`)
    }
    if (found.length < CATALOG_STEP_ROWS) return { names, last: null }
    after = found.at(-1)?.path ?? ''
  }
  return { names, last: `${namespace}/${after}` }
}

/** Where in the project's paths a list after the full name `last` begins; null when all of them come before. */
function pathAfter(namespace: string, last: string | null): string | null {
  const prefix = `${namespace}/`
  if (last === null || last < prefix) return ''
  return last.startsWith(prefix) ? last.slice(prefix.length) : null
}
