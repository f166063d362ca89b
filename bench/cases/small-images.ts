import { ALL_SERVERS, type Case, WITHOUT_HTPASSWD } from '../case.ts'
import { digestOf } from '../content.ts'
import { makeImage, pushLikeContainerd, pushLikeDocker } from '../image.ts'
import type { Job } from '../load/plan.ts'
import { readManifest, type Target } from '../requests.ts'

const CLIENTS = 16
const IMAGES_PER_REPOSITORY = 100
const LAYER_BYTES = 4096

/** Pushes of many images with a config and one layer of 4 KiB, 16 at a time, in two clients' sequences of requests. */
export const smallImageCases: readonly Case[] = [
  {
    ...smallImages('small-images', pushLikeContainerd, 2000),
    servers: ALL_SERVERS,
  },
  smallImages('small-images-docker', pushLikeDocker, 1000),
]

function smallImages(id: string, push: typeof pushLikeContainerd, count: number): Case {
  const client = push === pushLikeDocker ? 'docker' : 'containerd'
  const row = `small images as ${client} pushes them`
  return {
    id,
    title: `${count} images of 4 KiB, ${CLIENTS} at a time, as ${client} pushes them`,
    servers: WITHOUT_HTPASSWD,
    freshServers: false,
    goals: { [row]: { rateAtLeast: 6 } },
    async open(session, content, size) {
      const stage = async (round: number) => {
        const jobs: Job[] = []
        let last: { target: Target; tag: string; digest: string; sizeBytes: number } | null = null
        let target: Target = await session.target(`bench/${id}-${round}-0`)
        for (let i = 0; i < (size.quick ? 100 : count); i++) {
          if (i % IMAGES_PER_REPOSITORY === 0) {
            target = await session.target(`bench/${id}-${round}-${i / IMAGES_PER_REPOSITORY}`)
          }
          const image = makeImage(content, [LAYER_BYTES])
          const tag = `v${i}`
          jobs.push(push(target, image, tag))
          last = { target, tag, digest: image.manifest.digest, sizeBytes: image.manifest.sizeBytes }
        }
        const sample = await session.measure(
          { connections: CLIENTS, jobs },
          { row, unit: 'image', work: (result) => result.jobs, label: 'PUT manifest' },
        )
        if (last !== null) {
          const request = readManifest('GET', last.target, last.tag, last.sizeBytes)
          const answer = await session.call(last.target, request.target, {
            accept: request.headers['Accept'] ?? '',
          })
          if (digestOf(answer.body) !== last.digest) throw new Error(`${row}: other bytes than pushed`)
        }
        return [sample]
      }
      return [stage]
    },
  }
}
