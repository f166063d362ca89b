import type { Kysely } from 'kysely'
import type { RegionSchema, RepositoryRow } from '../region-schema.ts'

/** Repositories of a project in byte order of their paths, after `after`, at most `limit`. */
export async function listRepositories(
  db: Kysely<RegionSchema>,
  page: { projectId: string; after: string | null; limit: number },
): Promise<RepositoryRow[]> {
  return db
    .selectFrom('repository')
    .selectAll()
    .where('project_id', '=', page.projectId)
    .where('path', '>', page.after ?? '')
    .orderBy('path')
    .limit(page.limit)
    .execute()
}
