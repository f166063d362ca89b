import type { Kysely } from 'kysely'
import type { RegionSchema } from '../region-schema.ts'

/**
 * Whether the project has pushed to a repository that is `component` or begins with `component/`. Copies from connected
 * registries do not count, nor does one in which nothing is left.
 */
export async function anyRepositoryUnder(
  reader: Kysely<RegionSchema>,
  projectId: string,
  component: string,
): Promise<boolean> {
  const row = await reader
    .selectFrom('repository')
    .select('id')
    .where('project_id', '=', projectId)
    .where('cached_from', 'is', null)
    .where(({ or, exists, selectFrom }) =>
      or(
        (['manifest', 'repository_blob'] as const).map((table) =>
          exists(selectFrom(table).select('digest').whereRef('repository_id', '=', 'repository.id')),
        ),
      ),
    )
    .where((where) =>
      where.or([
        where('path', '=', component),
        // In byte order 0 comes right after the slash, so this range is what begins with `component/`.
        where.and([where('path', '>', `${component}/`), where('path', '<', `${component}0`)]),
      ]),
    )
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}
