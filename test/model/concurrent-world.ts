import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { type Blob, bytesOf, makeBlob } from '../faults/content.ts'
import type { Random } from '../faults/random.ts'
import { basic } from './access-model.ts'
import type { Answer, RequestOptions } from './connections.ts'
import { BLOBS, bytesOfPool } from './content.ts'
import type { ModelServer } from './server.ts'
import type { TagEffect, TagOperation } from './tag-order.ts'

/** An interval between a request and its answer, on a clock that counts events of this process. */
export type Span = { invokedAt: number; answeredAt: number }

/** One run: a project, its clients, and everything that they did. */
export type ConcurrentWorld = {
  server: ModelServer
  namespace: string
  projectId: string
  /** The next moment. */
  tick(): number
  /** By `repository:tag`. */
  operations: Map<string, TagOperation[]>
  /** Deletes of manifests and blobs, by `repository@digest`. */
  deletes: Map<string, Span[]>
  /** Manifests that somebody has pushed, by repository. */
  pushed: Map<string, PushedManifest[]>
}

export type PushedManifest = { digest: string; content: Buffer; mediaType: string; blobs: readonly Blob[] }

/** Who sends requests, one after the other. */
export type Client = { id: string; authorization: string; random: Random; counter: number }

export const UNANSWERED = Number.POSITIVE_INFINITY
export const REPOSITORIES = ['app', 'side'] as const
export const TAGS = ['latest', 'stable'] as const
/** Blobs of the pool that several clients push: small ones, one at the inline limit, one in the blob store. */
export const SHARED_BLOBS: readonly Blob[] = BLOBS.slice(1, 6)

export async function openConcurrentWorld(server: ModelServer): Promise<ConcurrentWorld> {
  const namespace = `c-${randomUUID().slice(0, 13)}`
  const { id } = await server.console.call('projects.create', { body: { name: namespace, namespace } })
  let now = 0
  const tick = (): number => {
    now += 1
    return now
  }
  return {
    server,
    namespace,
    projectId: id,
    tick,
    operations: new Map(),
    deletes: new Map(),
    pushed: new Map(),
  }
}

export async function openClient(world: ConcurrentWorld, random: Random): Promise<Client> {
  const { id, key } = await world.server.console.call('apiKeys.create', {
    params: { project: world.projectId },
    body: { name: 'client', actions: ['pull', 'push', 'delete'] },
  })
  return { id, authorization: basic(key), random, counter: 0 }
}

/** Lets others go first for a moment that the seed chooses. */
export async function pause(random: Random): Promise<void> {
  const turns = random.integer(0, 6)
  if (turns === 6) await setTimeout(random.integer(1, 5))
  else for (let turn = 0; turn < turns; turn += 1) await setImmediate()
}

/** Sends a request below the repository; answers it with the moments around it. */
export async function ask(
  world: ConcurrentWorld,
  client: Client,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<{ answer: Answer; span: Span }> {
  await pause(client.random)
  const invokedAt = world.tick()
  const { authorization } = client
  const url = path.startsWith('/') ? path : `/v2/${world.namespace}/${path}`
  const answer = await world.server.registry.request(method, url, { authorization, ...options })
  assert.ok(answer.status < 500, `${method} ${path}: ${answer.status} ${answer.body.toString('utf8')}`)
  return { answer, span: { invokedAt, answeredAt: world.tick() } }
}

/** Notes what a request did to a tag. */
export function note(
  world: ConcurrentWorld,
  actor: string,
  place: { repository: string; tag: string },
  span: Span,
  effect: TagEffect,
): void {
  const key = `${place.repository}:${place.tag}`
  const known = world.operations.get(key) ?? []
  known.push({ actor, ...span, effect })
  world.operations.set(key, known)
}

/** Begins a delete; the span ends when its answer is known. */
export function beginDelete(world: ConcurrentWorld, repository: string, digest: string): Span {
  const key = `${repository}@${digest}`
  const span = { invokedAt: world.tick(), answeredAt: UNANSWERED }
  const known = world.deletes.get(key) ?? []
  known.push(span)
  world.deletes.set(key, known)
  return span
}

/** Whether a delete of it was under way at or after a moment. */
export function wasDeletedSince(
  world: ConcurrentWorld,
  repository: string,
  digest: string,
  sinceAt: number,
): boolean {
  return (world.deletes.get(`${repository}@${digest}`) ?? []).some(({ answeredAt }) => answeredAt > sinceAt)
}

/** Content of a blob of the pool or of a client. */
export function contentOf(blob: Blob): Buffer {
  return SHARED_BLOBS.includes(blob) ? bytesOfPool(blob) : bytesOf(blob)
}

/** A blob that nobody else has. */
export function ownBlob(world: ConcurrentWorld, client: Client): Blob {
  client.counter += 1
  const sizeBytes = client.random.chance(0.7)
    ? client.random.integer(1, 2000)
    : client.random.integer(17_000, 60_000)
  return makeBlob(`${world.namespace}/${client.id}/${client.counter}`, sizeBytes)
}
