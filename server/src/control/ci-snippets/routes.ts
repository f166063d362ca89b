import { ApiError } from '@berth/api/errors'
import type { ProjectRow } from '../../metastore/control-schema.ts'
import type { HandlersOf } from '../handler.ts'
import { defaultAudience } from '../trust-rules/service.ts'
import { homeRegionOf } from '../projects/service.ts'
import type { ControlRuntime } from '../runtime.ts'
import { shellLines } from './shell-lines.ts'
import { WORKFLOW_FILES } from './workflow-files.ts'

const DEFAULT_IMAGE = 'app'

export const ciSnippetHandlers: HandlersOf<'ci.snippet'> = {
  'ci.snippet': async ({ runtime, project }, { query }) => {
    const { provider, mode } = query
    const { id, host, origin } = placeOf(runtime, project, query.region)
    const { namespace } = project
    const image = `${host}/${namespace}/${query.image ?? DEFAULT_IMAGE}`
    const place = { host, origin, namespace, image, audience: defaultAudience(runtime, project) }
    const { setup, ...file } = WORKFLOW_FILES[provider](mode, place)
    return {
      provider,
      mode,
      region: id,
      host,
      image,
      ...file,
      shell: shellLines(provider, mode, place),
      setup: [...setup],
    }
  },
}

/** The region asked for; else the host that leads to the home region, when there is one; else the first region. */
function placeOf(runtime: ControlRuntime, project: ProjectRow, region: string | undefined) {
  const { regions, sharedHost } = runtime
  if (region === undefined && sharedHost !== null)
    return { id: homeRegionOf(runtime, project), ...sharedHost }
  const found = region === undefined ? [...regions.values()][0] : regions.get(region)
  if (found === undefined) throw new ApiError('region_not_found')
  return found.region
}
