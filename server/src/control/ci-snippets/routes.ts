import { ApiError } from '@berth/api/errors'
import type { HandlersOf } from '../handler.ts'
import { defaultAudience } from '../trust-rules/service.ts'
import { shellLines } from './shell-lines.ts'
import { WORKFLOW_FILES } from './workflow-files.ts'

const DEFAULT_IMAGE = 'app'

export const ciSnippetHandlers: HandlersOf<'ci.snippet'> = {
  'ci.snippet': async ({ runtime, project }, { query }) => {
    const { provider, mode } = query
    const found =
      query.region === undefined ? [...runtime.regions.values()][0] : runtime.regions.get(query.region)
    if (found === undefined) throw new ApiError('region_not_found')
    const { id, host, origin } = found.region
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
