import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Role, ROLES } from '@berth/api/access'
import { operationUrl } from '@berth/api/client'
import { ApiError } from '@berth/api/errors'
import type { Operation } from '@berth/api/operation'
import { API_PREFIX, OPERATION_IDS, OPERATIONS, type OperationId } from '@berth/api/operations'
import { openTestConsole, OPERATOR_TOKEN, type TestConsole } from '../../../test/support/console/stack.ts'
import { addMember, addPerson, makeSession } from '../../../test/support/console/members.ts'
import { callOperation } from './call-operation.ts'
import { createConsole } from './console.ts'

import { BODIES, MATRIX, OTHER_ROUTES, PARAMS, QUERIES, type Who } from './test-matrix.ts'
import type { PersonPrincipal } from './principal.ts'

/*
 * Who may call what: every operation, by every kind of caller, in the caller's own project, in another one and in one
 * that does not exist. What must come out is in `test-matrix.ts`, which knows nothing of the rules that decide.
 */

type Outcome = 'let in' | 'unauthenticated' | 'forbidden' | 'hidden' | 'step-up'

interface Caller {
  readonly name: string
  /** Null: no credential. */
  readonly token: string | null
  readonly isPerson: boolean
  readonly isOperator: boolean
  /** Role in each project that the caller is a member of. */
  readonly roles: Readonly<Record<string, Role>>
}

// All of one length, so that answers that repeat the name are of one length too.
const OWN = 'acme'
const OTHER = 'rile'
const NONE = 'none'

let opened: TestConsole
let callers: Caller[]
let owner: PersonPrincipal
let stranger: PersonPrincipal
let operatorPerson: PersonPrincipal
const members = new Map<string, PersonPrincipal>()

before(async () => {
  opened = await openTestConsole()
  for (const namespace of [OWN, OTHER]) {
    await opened.client.call('projects.create', { body: { name: namespace, namespace } })
  }
  callers = [
    { name: 'nobody', token: null, isPerson: false, isOperator: false, roles: {} },
    { name: 'operator token', token: OPERATOR_TOKEN, isPerson: false, isOperator: true, roles: {} },
  ]
  for (const role of ROLES.toReversed()) await addCaller(role, { [OWN]: role })
  await addCaller('owner of another project', { [OTHER]: 'owner' })
  stranger = await addCaller('person without a project', {})
  operatorPerson = await addCaller('person who is an operator', {}, true)
  owner = members.get('owner') ?? stranger
})
after(() => opened.close())

async function addCaller(name: string, roles: Caller['roles'], isOperator = false): Promise<PersonPrincipal> {
  const person = await addPerson(opened, name.replaceAll(' ', '-'), { isOperator })
  for (const [project, role] of Object.entries(roles)) await addMember(opened, project, person, role)
  callers.push({ name, token: await makeSession(opened, person), isPerson: true, isOperator, roles })
  members.set(name, person)
  return person
}

async function send(id: OperationId, caller: Caller, project: string) {
  const operation: Operation = OPERATIONS[id]
  return opened.app.inject({
    method: operation.method,
    url: operationUrl(operation, { params: { ...PARAMS, project }, query: QUERIES[id] ?? {} }),
    headers: {
      ...(caller.token === null ? {} : { authorization: `Bearer ${caller.token}` }),
      ...(operation.body === null ? {} : { 'content-type': 'application/json' }),
    },
    ...(operation.body === null ? {} : { payload: JSON.stringify(BODIES[id] ?? {}) }),
  })
}

function outcomeOf(status: number, code: string | null): Outcome {
  if (status === 401) return 'unauthenticated'
  if (code === 'step_up_required') return 'step-up'
  if (status === 403) return 'forbidden'
  if (code === 'project_not_found') return 'hidden'
  assert.notEqual(status, 422, 'test-matrix.ts must give what passes the validation')
  assert.ok(status < 500 || code === 'unavailable', `${status} ${code}`)
  return 'let in'
}

/** What the table says must come out. */
function expected(who: Who, caller: Caller, project: string): Outcome {
  if (caller.token === null) return 'unauthenticated'
  switch (who) {
    case 'anyone signed in':
      return 'let in'
    case 'a person':
    case 'who may create projects':
      return caller.isPerson || (who === 'who may create projects' && caller.isOperator)
        ? 'let in'
        : 'forbidden'
    case 'an operator':
      return caller.isOperator ? 'let in' : 'forbidden'
    case 'owner':
    case 'admin':
    case 'developer':
    case 'viewer': {
      if (project === NONE) return 'hidden'
      if (caller.isOperator) return 'let in'
      const role = caller.roles[project]
      if (role === undefined) return 'hidden'
      return ROLES.indexOf(role) <= ROLES.indexOf(who) ? 'let in' : 'forbidden'
    }
  }
}

test('every operation has a row, and no row is about an operation that is gone', () => {
  assert.deepEqual(Object.keys(MATRIX).sort(), [...OPERATION_IDS].sort())
})

describe('the matrix', () => {
  for (const id of OPERATION_IDS) {
    test(`${id}: ${MATRIX[id]?.who ?? 'no row'}`, async () => {
      const operation: Operation = OPERATIONS[id]
      const { who } = MATRIX[id]
      const projects = operation.access.kind === 'project' ? [OWN, OTHER, NONE] : [NONE]
      for (const caller of callers) {
        for (const project of projects) {
          const response = await send(id, caller, project)
          const outcome = outcomeOf(response.statusCode, codeOf(response.body))
          assert.equal(
            outcome,
            expected(who, caller, project),
            `${caller.name} in ${project}: ${response.statusCode} ${response.body.slice(0, 300)}`,
          )
          if (response.statusCode === 200) await undo(id, caller, project)
        }
      }
    })
  }
})

function codeOf(body: string): string | null {
  try {
    return (JSON.parse(body) as { code?: string }).code ?? null
  } catch {
    return null
  }
}

/** Puts a caller back where the call took it from. */
async function undo(id: OperationId, { name, roles }: Caller, project: string): Promise<void> {
  if (id !== 'members.leave') return
  const [person, role] = [members.get(name), roles[project]]
  assert.ok(person !== undefined && role !== undefined)
  await addMember(opened, project, person, role)
}

test('where only operators create projects, nobody else does', async (t) => {
  const app = await createConsole({ ...opened.runtime, projectCreation: 'operators' })
  t.after(() => app.close())
  for (const { name, token, isOperator } of callers) {
    const response = await app.inject({
      method: 'POST',
      url: `${API_PREFIX}/projects`,
      headers: {
        'content-type': 'application/json',
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
      payload: JSON.stringify(BODIES['projects.create']),
    })
    const refusal = token === null ? 401 : 403
    assert.equal(response.statusCode, isOperator ? 201 : refusal, `${name}: ${response.body}`)
  }
})

describe('routes that are no operations', () => {
  test('are the ones that are listed, with the methods that are listed', () => {
    const listed = Object.entries(OTHER_ROUTES).map(
      ([path, statuses]) => `${path} ${Object.keys(statuses).sort().join(' ')}`,
    )
    assert.deepEqual(otherRoutes().sort(), listed.sort())
  })

  test('answer as listed to somebody without any credential', async () => {
    const seen: Record<string, Record<string, number>> = {}
    for (const [path, statuses] of Object.entries(OTHER_ROUTES)) {
      for (const method of Object.keys(statuses) as ('GET' | 'POST')[]) {
        const { statusCode } = await opened.app.inject({ method, url: path })
        seen[path] = { ...seen[path], [method]: statusCode }
      }
    }
    assert.deepEqual(seen, OTHER_ROUTES)
  })
})

/** Path and methods of every route that is not in the table of operations, from the router itself. */
function otherRoutes(): string[] {
  const prefixes: string[] = []
  const tree = opened.app.printRoutes({ commonPrefix: false, includeHooks: false })
  return tree.split('\n').flatMap((line) => {
    const match = /^(?<indent>[│ ]*)(?:├|└)── (?<path>\S+)(?: \((?<methods>.+)\))?/u.exec(line)
    if (match?.groups === undefined) return []
    const { indent = '', path = '', methods } = match.groups
    const depth = indent.length / 4
    const whole = (prefixes[depth - 1] ?? '') + path
    prefixes[depth] = whole
    if (methods === undefined || OPERATION_URLS.has(whole)) return []
    const taken = methods.split(', ').filter((method) => method !== 'HEAD')
    return [`${whole} ${taken.sort().join(' ')}`]
  })
}

const OPERATION_URLS: ReadonlySet<string> = new Set(
  OPERATION_IDS.map((id) => API_PREFIX + OPERATIONS[id].path.replace(/\{(\w+)\}/g, ':$1')),
)

describe("another project's anything answers as one that does not exist", () => {
  for (const id of OPERATION_IDS) {
    if ((OPERATIONS[id] as Operation).access.kind !== 'project') continue
    test(`${id}: byte for byte`, async () => {
      const ids = await projectIds()
      const outsiders = callers.filter(
        ({ isPerson, isOperator, roles }) => isPerson && !isOperator && !(OWN in roles),
      )
      assert.equal(outsiders.length, 2)
      for (const caller of outsiders) {
        const none = visible(await send(id, caller, NONE), NONE)
        assert.deepEqual(visible(await send(id, caller, OWN), OWN), none)
        const unknownId = `${ids.get(OWN)?.slice(0, -2) ?? ''}zz`
        const noneById = visible(await send(id, caller, unknownId), unknownId)
        const known = ids.get(OWN) ?? ''
        assert.deepEqual(visible(await send(id, caller, known), known), noneById)
      }
    })
  }
})

async function projectIds(): Promise<Map<string, string>> {
  const { items } = await opened.client.call('projects.list', { query: { limit: 500 } })
  return new Map(items.map(({ namespace, id }) => [namespace, id]))
}

/** Everything of an answer that may tell something: all but the request's own id, the time, and the name asked for. */
function visible(response: Awaited<ReturnType<typeof send>>, project: string) {
  const { 'x-request-id': requestId, date: _date, ...headers } = response.headers
  const body = response.body.replaceAll(String(requestId), 'ID').replaceAll(project, 'PROJECT')
  assert.equal(codeOf(response.body), 'project_not_found')
  return { status: response.statusCode, headers, body }
}

describe('a session that was not confirmed lately', () => {
  for (const id of OPERATION_IDS) {
    const stepUp = MATRIX[id]?.stepUp === true
    test(`${id}: ${stepUp ? 'is asked to confirm' : 'is enough'}`, async () => {
      const project = (OPERATIONS[id] as Operation).access.kind === 'project'
      const nowMs = opened.runtime.clock.nowMs()
      for (const steppedUpUntil of [null, nowMs - 1]) {
        const able = MATRIX[id].who === 'an operator' ? operatorPerson : owner
        const outcome = await decide(id, { ...able, steppedUpUntil })
        assert.equal(outcome, stepUp ? 'step-up' : 'let in')
        // Who may not do it anyway learns nothing from being asked.
        const unable = await decide(id, { ...stranger, steppedUpUntil })
        if (project) assert.equal(unable, 'hidden')
        if (MATRIX[id].who === 'an operator') assert.equal(unable, 'forbidden')
      }
    })
  }
})

async function decide(id: OperationId, principal: PersonPrincipal): Promise<Outcome> {
  const operation: Operation = OPERATIONS[id]
  const names = Object.keys(operation.params?.shape ?? {})
  const params = Object.fromEntries(names.map((name) => [name, { ...PARAMS, project: OWN }[name] ?? NONE]))
  const call = {
    principal,
    requestId: 'matrix',
    signal: new AbortController().signal,
    input: { params, query: QUERIES[id] ?? {}, body: BODIES[id] ?? {} },
  }
  try {
    await callOperation(opened.runtime, id, call)
    return 'let in'
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error))
    return outcomeOf(error.status, error.code)
  }
}
