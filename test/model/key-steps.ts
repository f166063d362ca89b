import assert from 'node:assert/strict'
import { type Action, authorizationOf, UNAUTHORIZED } from './access-model.ts'
import { REPOSITORIES } from './content.ts'
import {
  makeKey,
  type ProjectState,
  type Resolved,
  revokeKey,
  send,
  type World,
  assertAnswer,
  isAccepted,
} from './world.ts'

/** Beyond this a run's credentials are replaced: what is tried stays bounded. */
const MAX_CREDENTIALS = 40

const ACTION_SETS: readonly (readonly Action[])[] = [
  ['pull'],
  ['pull', 'push'],
  ['push'],
  ['pull', 'push', 'delete'],
]

export async function createKey({ server }: World, project: ProjectState, kind: number): Promise<void> {
  if (project.credentials.length >= MAX_CREDENTIALS) return
  const key = await makeKey(server, project.model, ACTION_SETS[kind % ACTION_SETS.length] ?? [])
  project.keys.push(key)
  project.credentials.push({ kind: 'key', key, version: 1 })
}

/** A new secret; the one before goes on for the overlap. */
export async function rotateKey(
  { server }: World,
  project: ProjectState,
  keyIndex: number,
  overlapSeconds: number,
): Promise<void> {
  const key = project.keys[keyIndex % project.keys.length]
  if (key === undefined || key.isRevoked) return
  const { key: secret } = await server.console.call('apiKeys.rotate', {
    params: { project: project.model.id, key: key.id },
    body: { overlapSeconds },
  })
  key.secrets.push(secret)
  key.previousUntilMs = server.nowMs() + overlapSeconds * 1000
  project.credentials.push({ kind: 'key', key, version: key.secrets.length })
}

/** Invariant 5: from now on nothing that is made from the key is accepted. */
export async function revoke(world: World, project: ProjectState, keyIndex: number): Promise<void> {
  const key = project.keys[keyIndex % project.keys.length]
  if (key === undefined) return
  await revokeKey(world.server, key)
  const { namespace } = project.model
  for (const credential of project.credentials.filter((one) => one.key === key)) {
    const url = `/v2/${namespace}/${REPOSITORIES[0]}/tags/list`
    assertAnswer(await send(world, credential, 'GET', url), UNAUTHORIZED, 'a revoked credential')
  }
}

/** A token of the credential's key for some repositories. */
export async function fetchToken(
  world: World,
  { credential }: Resolved,
  project: ProjectState,
  { actions, repositories }: { actions: readonly Action[]; repositories: number },
): Promise<void> {
  if (credential.kind === 'token' || project.credentials.length >= MAX_CREDENTIALS) return
  const { key, version } = credential
  const { namespace } = key.project
  // Bits choose the repositories.
  const names = REPOSITORIES.filter((_, bit) => (repositories >> bit) % 2 === 1).map(
    (path) => `${namespace}/${path}`,
  )
  const scopes = names.map((name) => `scope=${encodeURIComponent(`repository:${name}:${actions.join(',')}`)}`)
  const answer = await world.server.registry.request('GET', `/auth/token?${scopes.join('&')}`, {
    authorization: authorizationOf(credential),
  })
  assertAnswer(answer, isAccepted(world, credential) ? { status: 200 } : UNAUTHORIZED, 'a token')
  if (answer.status !== 200) return
  const { token } = JSON.parse(answer.body.toString('utf8')) as { token: string }
  assert.equal(typeof token, 'string')
  const granted = new Set(actions.filter((action) => key.actions.has(action)))
  project.credentials.push({
    kind: 'token',
    key,
    version,
    text: token,
    issuedAtMs: world.server.nowMs(),
    access: new Map(names.map((name) => [name, granted])),
  })
}
