import type { Kysely } from 'kysely'
import type { RegionSchema } from '../region-schema.ts'

/** A manifest with a subject, as it is listed. */
export interface ReferrerRow {
  readonly digest: string
  readonly mediaType: string
  readonly sizeBytes: number
  readonly artifactType: string | null
  /** JSON object or null. */
  readonly annotations: string | null
}

/** Manifests of a repository whose subject is `subject`, in byte order of their digests after `after`, at most `limit`. */
export async function listReferrers(
  db: Kysely<RegionSchema>,
  page: {
    repositoryId: number
    subject: string
    /** Null: all. */
    artifactType: string | null
    after: string | null
    limit: number
  },
): Promise<ReferrerRow[]> {
  return db
    .selectFrom('manifest')
    .select([
      'digest',
      'media_type as mediaType',
      'size_bytes as sizeBytes',
      'artifact_type as artifactType',
      'annotations',
    ])
    .where('repository_id', '=', page.repositoryId)
    .where('subject_digest', '=', page.subject)
    .where('deleted_at', 'is', null)
    .where('digest', '>', page.after ?? '')
    .$if(page.artifactType !== null, (query) => query.where('artifact_type', '=', page.artifactType))
    .orderBy('digest')
    .limit(page.limit)
    .execute()
}

/** Which of the digests are manifests of the repository with this subject, whatever their type. */
export async function selectReferrers(
  db: Kysely<RegionSchema>,
  candidates: { repositoryId: number; subject: string; digests: readonly string[] },
): Promise<Set<string>> {
  if (candidates.digests.length === 0) return new Set()
  const rows = await db
    .selectFrom('manifest')
    .select('digest')
    .where('repository_id', '=', candidates.repositoryId)
    .where('subject_digest', '=', candidates.subject)
    .where('deleted_at', 'is', null)
    .where('digest', 'in', candidates.digests)
    .execute()
  return new Set(rows.map((row) => row.digest))
}
