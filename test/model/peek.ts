import assert from 'node:assert/strict'
import type { Answer } from './connections.ts'
import { bytesOfPool, MANIFESTS, TAGS } from './content.ts'
import { blobAt } from './registry-model.ts'
import { projectAt, repositoryAt, type Resolved, send, type World } from './world.ts'

/** What one may try with another project's content. */
const ATTEMPTS = ['tag', 'manifest', 'blob', 'tags', 'referrers', 'put', 'upload', 'delete'] as const
export const ATTEMPT_COUNT = ATTEMPTS.length

/**
 * Invariant 6: the same request to another project's repository and to nobody's is answered alike, headers and body
 * included, whatever is there.
 */
export async function peek(
  world: World,
  who: Resolved,
  { attempt, repository, content }: { attempt: number; repository: number; content: number },
): Promise<void> {
  const own = who.credential.key.project.namespace
  const other = world.projects.find(({ model }) => model.namespace !== own) ?? projectAt(world, 0)
  const theirs = other.model.namespace
  // Of the same length, so that no header differs by it; the first letter is of no project.
  const nobodys = `z${theirs.slice(1)}`
  const path = repositoryAt(repository)
  const ask = async (namespace: string): Promise<unknown> =>
    comparable(await request(world, who, `${namespace}/${path}`, attempt, content), namespace)
  assert.deepEqual(await ask(theirs), await ask(nobodys), `${ATTEMPTS[attempt % ATTEMPTS.length]} elsewhere`)
}

function request(
  world: World,
  { credential }: Resolved,
  name: string,
  attempt: number,
  content: number,
): Promise<Answer> {
  const manifest = MANIFESTS[content % MANIFESTS.length]
  if (manifest === undefined) throw new Error('the pool has manifests')
  const blob = blobAt(content)
  const tag = TAGS[content % TAGS.length] as string
  const base = `/v2/${name}`
  switch (ATTEMPTS[attempt % ATTEMPTS.length] ?? 'delete') {
    case 'tag':
      return send(world, credential, 'GET', `${base}/manifests/${tag}`)
    case 'manifest':
      return send(world, credential, 'HEAD', `${base}/manifests/${manifest.digest}`)
    case 'blob':
      return send(world, credential, 'GET', `${base}/blobs/${blob.digest}`)
    case 'tags':
      return send(world, credential, 'GET', `${base}/tags/list`)
    case 'referrers':
      return send(world, credential, 'GET', `${base}/referrers/${manifest.digest}`)
    case 'put':
      return send(world, credential, 'PUT', `${base}/manifests/${tag}`, {
        body: manifest.content,
        headers: { 'Content-Type': manifest.mediaType },
      })
    case 'upload':
      return send(world, credential, 'POST', `${base}/blobs/uploads/?digest=${blob.digest}`, {
        body: bytesOfPool(blob).subarray(0, 100),
      })
    case 'delete':
      return send(world, credential, 'DELETE', `${base}/manifests/${tag}`)
  }
}

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

/** Everything of an answer but what differs between any two: times, request ids, the name that was asked for. */
function comparable({ status, headers, body }: Answer, namespace: string): unknown {
  const { date: _date, ...rest } = headers
  const named = Object.entries(rest).filter(([name]) => name !== 'x-request-id')
  const text = body.toString('utf8').replaceAll(namespace, '<namespace>').replaceAll(UUID, '<request id>')
  return { status, headers: JSON.stringify(named).replaceAll(namespace, '<namespace>'), text }
}
