import { ALL_SERVERS, type Case } from '../case.ts'
import { makeImage, pushAgain, pushLikeContainerd } from '../image.ts'
import { readManifest } from '../requests.ts'

const CLIENTS = 16
const LAYERS = 10
const LAYER_BYTES = 64 * 1024
const REPOSITORY = 'bench/re-push'
const ROW = 're-push of an image of ten layers'

/** Pushes of an image that is there already: HEAD of each blob, then the manifest again. Each client has its own tag. */
export const rePush: Case = {
  id: 're-push',
  title: 're-push of an existing image, 16 clients',
  servers: ALL_SERVERS,
  freshServers: false,
  goals: {},
  async open(session, content, size) {
    const image = makeImage(content, Array<number>(LAYERS).fill(LAYER_BYTES))
    await session.prepare([pushLikeContainerd(await session.target(REPOSITORY), image, 'tag-0')])
    const stage = async () => {
      const target = await session.target(REPOSITORY)
      const jobs = Array.from({ length: CLIENTS }, (_, i) => pushAgain(target, image, `tag-${i}`))
      const sample = await session.measure(
        { connections: CLIENTS, jobs, durationMs: size.durationMs },
        { row: ROW, unit: 'image', work: (result) => result.jobs, label: 'PUT manifest' },
      )
      await session.prepare([[readManifest('GET', target, 'tag-0', image.manifest.sizeBytes)]])
      return [sample]
    }
    return [stage]
  },
}
