import type { Kysely } from 'kysely'
import type { RegionSchema } from '../region-schema.ts'
import { prepareQuery } from './prepared-query.ts'

/** A manifest as a repository shows it. */
export interface FoundManifest {
  readonly repositoryId: number
  readonly digest: string
  readonly mediaType: string
  readonly sizeBytes: number
}

interface RepositoryKey {
  readonly projectId: string
  /** Below the namespace. */
  readonly path: string
}

type ReferenceKey = RepositoryKey & { readonly reference: string }

function selectByTag(db: Kysely<RegionSchema>, p: <Name extends keyof ReferenceKey>(name: Name) => string) {
  return db
    .selectFrom('repository')
    .leftJoin('tag', (join) =>
      join.onRef('tag.repository_id', '=', 'repository.id').on('tag.name', '=', p('reference')),
    )
    .leftJoin('manifest', (join) =>
      join
        .onRef('manifest.repository_id', '=', 'tag.repository_id')
        .onRef('manifest.digest', '=', 'tag.digest')
        .on('manifest.deleted_at', 'is', null),
    )
    .select([
      'repository.id as repositoryId',
      'manifest.digest',
      'manifest.media_type as mediaType',
      'manifest.size_bytes as sizeBytes',
    ])
    .where('repository.project_id', '=', p('projectId'))
    .where('repository.path', '=', p('path'))
}

function selectByDigest(
  db: Kysely<RegionSchema>,
  p: <Name extends keyof ReferenceKey>(name: Name) => string,
) {
  return db
    .selectFrom('repository')
    .leftJoin('manifest', (join) =>
      join
        .onRef('manifest.repository_id', '=', 'repository.id')
        .on('manifest.digest', '=', p('reference'))
        .on('manifest.deleted_at', 'is', null),
    )
    .select([
      'repository.id as repositoryId',
      'manifest.digest',
      'manifest.media_type as mediaType',
      'manifest.size_bytes as sizeBytes',
    ])
    .where('repository.project_id', '=', p('projectId'))
    .where('repository.path', '=', p('path'))
}

const prepare = prepareQuery<RegionSchema, ReferenceKey>()
const headByTag = prepare((db, p) => selectByTag(db, p))
const headByDigest = prepare((db, p) => selectByDigest(db, p))
const getByTag = prepare((db, p) => selectByTag(db, p).select('manifest.content'))
const getByDigest = prepare((db, p) => selectByDigest(db, p).select('manifest.content'))

/** What a tag or digest names, without its content. */
export async function loadManifestHead(
  db: Kysely<RegionSchema>,
  key: ReferenceKey,
  kind: 'tag' | 'digest',
): Promise<FoundManifest | 'no_repository' | 'no_manifest'> {
  const row = await (kind === 'tag' ? headByTag : headByDigest).first(db, key)
  if (row === undefined) return 'no_repository'
  const { repositoryId, digest, mediaType, sizeBytes } = row
  return digest === null || mediaType === null || sizeBytes === null
    ? 'no_manifest'
    : { repositoryId, digest, mediaType, sizeBytes }
}

/** What a tag or digest names, with the exact bytes that were pushed. */
export async function loadManifest(
  db: Kysely<RegionSchema>,
  key: ReferenceKey,
  kind: 'tag' | 'digest',
): Promise<(FoundManifest & { readonly content: Uint8Array }) | 'no_repository' | 'no_manifest'> {
  const row = await (kind === 'tag' ? getByTag : getByDigest).first(db, key)
  if (row === undefined) return 'no_repository'
  const { repositoryId, digest, mediaType, sizeBytes, content } = row
  return digest === null || mediaType === null || sizeBytes === null || content === null
    ? 'no_manifest'
    : { repositoryId, digest, mediaType, sizeBytes, content }
}
