import type { Kysely } from 'kysely'
import type { RegionSchema } from '../region-schema.ts'

/** Whether a repository of the project is `component` or begins with `component/`. */
export async function anyRepositoryUnder(
  reader: Kysely<RegionSchema>,
  projectId: string,
  component: string,
): Promise<boolean> {
  const row = await reader
    .selectFrom('repository')
    .select('id')
    .where('project_id', '=', projectId)
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
