import { ApiError } from '@berth/api/errors'
import { immutablePatternsIn, readImmutableTags } from '../../access/image-rules.ts'
import type { ProjectRow } from '../../metastore/control-schema.ts'
import { loadRepository } from '../../metastore/queries/browse.ts'
import type { ImmutablePatterns } from '../../metastore/queries/immutable-tag.ts'
import type { WriteContext } from '../../metastore/queries/write-context.ts'
import type { RepositoryRow } from '../../metastore/region-schema.ts'
import type { ProjectCallContext } from '../handler.ts'
import type { ControlRegion, ControlRuntime } from '../runtime.ts'

/** A repository of the project that was asked for, with the region in which it was found. */
export interface FoundRepository {
  readonly region: ControlRegion
  readonly row: RepositoryRow
  /** What docker calls it: host, namespace and path. */
  readonly address: string
  /** Which of its tags never move. */
  readonly immutable: ImmutablePatterns
}

/** The regions that a request means: one, or all in their order. Raises `region_not_found`. */
export function regionsOf(runtime: ControlRuntime, id: string | undefined): ControlRegion[] {
  if (id === undefined) return [...runtime.regions.values()]
  const region = runtime.regions.get(id)
  if (region === undefined) throw new ApiError('region_not_found', `There is no region "${id}".`)
  return [region]
}

/**
 * Finds a repository of the project in the region asked for, or in the only region that has it.
 * Raises `repository_not_found`, `region_ambiguous`, `region_not_found`.
 */
export async function findRepository(
  { runtime, project }: Pick<ProjectCallContext, 'runtime' | 'project'>,
  path: string,
  regionId: string | undefined,
): Promise<FoundRepository> {
  const immutable = immutablePatternsIn(readImmutableTags(project.immutable_tags), path)
  const looked = await Promise.all(
    regionsOf(runtime, regionId).map(async (region) => {
      const row = await loadRepository(region.db.reader, project.id, path)
      return row === null ? [] : [{ region, row, address: addressOf(region, project, path), immutable }]
    }),
  )
  const [found, ...others] = looked.flat()
  if (found === undefined) {
    throw new ApiError('repository_not_found', `There is no repository "${project.namespace}/${path}".`)
  }
  if (others.length === 0) return found
  const ids = [found, ...others].map(({ region }) => region.region.id).join(', ')
  throw new ApiError(
    'region_ambiguous',
    `The repository "${path}" exists in ${ids}. Say which one with ?region=.`,
  )
}

/** What docker calls a repository. */
export function addressOf({ region }: ControlRegion, project: ProjectRow, path: string): string {
  return `${region.host}/${project.namespace}/${path}`
}

/** Who changes something in a region, and when by that region's clock. */
export async function writeContext(
  context: ProjectCallContext,
  region: ControlRegion,
): Promise<WriteContext> {
  const { actor, requestId } = context.origin()
  return { guard: null, projectId: context.project.id, actor, requestId, nowMs: await region.db.nowMs() }
}
