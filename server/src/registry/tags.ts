import { OciError } from '@berth/oci/errors'
import { nextLink, type Page } from '@berth/oci/link'
import { listTagNames } from '../metastore/queries/tag.ts'
import { type Answer, jsonAnswer } from './answer.ts'
import type { Grant } from './grant.ts'
import { cacheHeaders } from './headers.ts'
import type { RepositoryTarget } from './request.ts'
import type { RegionRuntime } from './runtime.ts'

/** The tag list of a repository, in byte order (distribution spec, "Listing Tags"). Errors: NAME_UNKNOWN. */
export async function answerTagList(
  runtime: RegionRuntime,
  { repository, page }: { repository: RepositoryTarget; page: Page },
  { project }: Grant,
): Promise<Answer> {
  const { name, path } = repository
  // One more than asked for tells whether there is a next page.
  const found = await listTagNames(runtime.db.reader, {
    projectId: project.id,
    path,
    after: page.last,
    limit: page.limit + 1,
  })
  if (found === null) throw new OciError('NAME_UNKNOWN')
  const tags = found.slice(0, page.limit)
  const last = tags.at(-1)
  const link =
    found.length > tags.length && last !== undefined
      ? { Link: nextLink(`/v2/${name}/tags/list?n=${page.limit}&last=${last}`) }
      : {}
  return jsonAnswer(
    200,
    { name, tags },
    {
      ...link,
      ...cacheHeaders({ isPublic: project.isPublic(path), isImmutable: false }),
    },
  )
}
