import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { ApiError } from '@berth/api/errors'
import {
  type Action,
  authenticate,
  authorizationOf,
  basic,
  type Credential,
  type KeyModel,
  type Need,
  refusal,
} from './access-model.ts'
import { type Answer, codeOf, type RequestOptions } from './connections.ts'
import { REPOSITORIES } from './content.ts'
import { type Expected, ProjectModel } from './registry-model.ts'
import type { ModelServer } from './server.ts'

/** A project of one run with everything that was ever a credential of it. */
export type ProjectState = {
  model: ProjectModel
  keys: KeyModel[]
  credentials: Credential[]
  /** May do everything, and is replaced when it is revoked. */
  main: KeyModel
  /** Only pulls, so that looking changes nothing. */
  observer: KeyModel
}

/** One run of commands: two projects that push the same content. */
export type World = {
  server: ModelServer
  projects: readonly [ProjectState, ProjectState]
  /** The time of the test is over: the commands that are left are skipped. */
  isOver(): boolean
}

/** Who sends a command and where to: drawn before the run, resolved when its turn comes. */
export type Actor = { project: number; credential: number; isForeign: boolean }

/** A credential, and the project that the request names. */
export type Resolved = { credential: Credential; target: ProjectState }

const ALL_ACTIONS: readonly Action[] = ['pull', 'push', 'delete']
/** One of so many commands is sent with any credential that there ever was, the others with one that works. */
const ODD_CREDENTIAL_EVERY = 4

/** Makes both projects of a run on the server. */
export async function openWorld(server: ModelServer, isOver: () => boolean): Promise<World> {
  return { server, isOver, projects: [await openProject(server, 'a'), await openProject(server, 'b')] }
}

async function openProject(server: ModelServer, letter: string): Promise<ProjectState> {
  const namespace = `${letter}-${randomUUID().slice(0, 13)}`
  const { id } = await server.console.call('projects.create', { body: { name: namespace, namespace } })
  const model = new ProjectModel(namespace, id, server.nowMs)
  const main = await makeKey(server, model, ALL_ACTIONS)
  const observer = await makeKey(server, model, ['pull'])
  const state: ProjectState = { model, main, observer, keys: [main], credentials: [] }
  state.credentials.push({ kind: 'key', key: main, version: 1 })
  return state
}

/** Deletes what a run has made. */
export async function closeWorld({ server, projects }: World): Promise<void> {
  for (const { model } of projects) {
    const { namespace, id } = model
    await server.console.call('projects.delete', {
      params: { project: id },
      query: { confirm: namespace },
    })
  }
  await server.collect()
}

/** An API key of the project that works everywhere. */
export async function makeKey(
  server: ModelServer,
  project: ProjectModel,
  actions: readonly Action[],
): Promise<KeyModel> {
  const made = await server.console.call('apiKeys.create', {
    params: { project: project.id },
    body: { name: 'model', actions: [...actions] },
  })
  return {
    project,
    id: made.id,
    actions: new Set(actions),
    secrets: [made.key],
    previousUntilMs: 0,
    isRevoked: false,
  }
}

/** Revokes a key; when the call returns, that is true everywhere. */
export async function revokeKey(server: ModelServer, key: KeyModel): Promise<void> {
  await server.console.call('apiKeys.revoke', { params: { project: key.project.id, key: key.id } })
  key.isRevoked = true
}

/** The project's credential that may do everything. A new key when the one before was revoked. */
export async function mainCredential(server: ModelServer, project: ProjectState): Promise<Credential> {
  if (project.main.isRevoked) {
    project.main = await makeKey(server, project.model, ALL_ACTIONS)
    project.keys.push(project.main)
    project.credentials.push({ kind: 'key', key: project.main, version: 1 })
  }
  return { kind: 'key', key: project.main, version: project.main.secrets.length }
}

export async function resolve(world: World, actor: Actor): Promise<Resolved> {
  const own = projectAt(world, actor.project)
  const isOdd = actor.credential % ODD_CREDENTIAL_EVERY === 0
  const credential = isOdd
    ? own.credentials[Math.floor(actor.credential / ODD_CREDENTIAL_EVERY) % own.credentials.length]
    : await mainCredential(world.server, own)
  if (credential === undefined) throw new Error('a project always has a credential')
  return { credential, target: actor.isForeign ? projectAt(world, actor.project + 1) : own }
}

export function projectAt({ projects }: World, index: number): ProjectState {
  return projects[index % 2] as ProjectState
}

export function repositoryAt(index: number): string {
  return REPOSITORIES[index % REPOSITORIES.length] as string
}

/** What must be answered before the request is looked at; null when the credential may do it. */
export function refusalOf(
  { server }: World,
  { credential, target }: Resolved,
  need: Omit<Need, 'project'>,
): Expected | null {
  return refusal(credential, { ...need, project: target.model }, server.nowMs())
}

/** Whether the credential is accepted at all. */
export function isAccepted({ server }: World, credential: Credential): boolean {
  return authenticate(credential, server.nowMs()) === 'valid'
}

/** Sends a request as the credential. */
export function send(
  { server }: World,
  credential: Credential,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<Answer> {
  return server.registry.request(method, path, { authorization: authorizationOf(credential), ...options })
}

/** Sends a GET or HEAD that changes nothing, with a key that only pulls. */
export function observe(
  { server }: World,
  project: ProjectState,
  method: string,
  path: string,
): Promise<Answer> {
  const authorization = basic(project.observer.secrets[0] ?? '')
  return server.registry.request(method, path, { authorization })
}

/**
 * A project with a quota may keep only so much in its trash, which this model does not count. A push that is refused for
 * that ends the sequence, when what the answer says of it adds up.
 */
export class TrashIsFull extends Error {
  override readonly name = 'TrashIsFull'
}

function throwWhenTrashIsFull({ status, body }: Answer): void {
  if (status !== 403 || !body.includes('"limit":"trash"')) return
  const { errors } = JSON.parse(body.toString('utf8')) as {
    errors: { detail: { quotaBytes: number; trashedBytes: number; neededBytes: number } }[]
  }
  const { quotaBytes = 0, trashedBytes = 0, neededBytes = 0 } = errors[0]?.detail ?? {}
  // Live content is at most the quota, and both together may be twice that.
  if (trashedBytes + neededBytes > quotaBytes) throw new TrashIsFull()
}

/** Compares status and error code. Throws `TrashIsFull` for a refusal that the model cannot foresee. */
export function assertAnswer(answer: Answer, expected: Expected, what: string): void {
  const code = codeOf(answer)
  const isSame = answer.status === expected.status && (expected.code === undefined || code === expected.code)
  if (isSame) return
  throwWhenTrashIsFull(answer)
  const wanted = `${expected.status}${expected.code === undefined ? '' : ` ${expected.code}`}`
  const text = answer.body.subarray(0, 400).toString('utf8')
  assert.fail(`${what}: must be ${wanted}, is ${answer.status} ${code ?? ''} ${text}`)
}

/** Status and code of a call of the console. */
export async function outcomeOf(call: Promise<unknown>): Promise<Expected> {
  try {
    await call
    return { status: 200 }
  } catch (error) {
    if (error instanceof ApiError) return { status: error.status, code: error.code }
    throw error
  }
}
