import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { operationUrl } from '@berth/api/client'
import { ApiError } from '@berth/api/errors'
import type { Operation } from '@berth/api/operation'
import { API_PREFIX, OPERATION_IDS, OPERATIONS, type OperationId } from '@berth/api/operations'
import { problem } from '@berth/api/problem'
import { MAX_FAILURES_PER_CREDENTIAL } from '../access/limits.ts'
import { callOperation } from './call-operation.ts'
import { PUBLIC_PATHS } from './pages/routes.ts'
import { type ConsolePrincipal, isSteppedUp, mayCall, mayInProject } from './principal.ts'
import { BODIES, PARAMS, QUERIES } from './test-matrix.ts'
import { openTestConsole, OPERATOR_TOKEN, type TestConsole } from '../../../test/support/console/stack.ts'

let opened: TestConsole

before(async () => {
  opened = await openTestConsole()
})
after(() => opened.close())

async function call(id: OperationId, authorization: string | null) {
  const operation: Operation = OPERATIONS[id]
  return opened.app.inject({
    method: operation.method,
    url: operationUrl(operation, { params: PARAMS, query: QUERIES[id] ?? {} }),
    headers: {
      ...(authorization === null ? {} : { authorization }),
      ...(operation.body === null ? {} : { 'content-type': 'application/json' }),
    },
    ...(operation.body === null ? {} : { payload: '{"not":"valid"}' }),
  })
}

const WRONG: readonly (readonly [name: string, authorization: string | null])[] = [
  ['no token', null],
  ['a wrong token', 'Bearer berth-operator-of-somebody-else'],
  ['a token that is longer', `Bearer ${OPERATOR_TOKEN}x`],
  ['a token that is shorter', `Bearer ${OPERATOR_TOKEN.slice(0, -1)}`],
  ['an empty token', 'Bearer '],
  ['Basic with the right token', `Basic ${Buffer.from(`operator:${OPERATOR_TOKEN}`).toString('base64')}`],
  ['the token without a scheme', OPERATOR_TOKEN],
  ['an API key', 'Bearer brth_k_abcdefghijkl_0000000000000000000000000000000000000000000000000'],
]

for (const id of OPERATION_IDS) {
  const operation: Operation = OPERATIONS[id]
  test(`${id} is denied without the operator's token, whatever else is sent`, async () => {
    for (const [name, authorization] of WRONG) {
      const response = await call(id, authorization)
      assert.ok([401, 429].includes(response.statusCode), `${name}: ${response.statusCode} ${response.body}`)
      if (response.statusCode === 401) {
        assert.match(String(response.headers['www-authenticate']), /^Bearer /, name)
        assert.equal(problem.parse(response.json()).code, 'unauthenticated', name)
      }
    }
  })

  // The operator token has no account.
  if (operation.access.kind === 'person') continue
  test(`${id} is let in with the operator's token`, async () => {
    const response = await call(id, `Bearer ${OPERATOR_TOKEN}`)
    assert.ok(![401, 403, 429].includes(response.statusCode), `${response.statusCode} ${response.body}`)
    // A project that does not exist is all that a path inside one tells.
    if (operation.access.kind === 'project' && operation.body === null) {
      assert.equal(problem.parse(response.json()).code, 'project_not_found')
    }
  })
}

test('every route of the console is in the table of operations, or public for a reason', () => {
  const known = new Set(
    OPERATION_IDS.map((id) => API_PREFIX + OPERATIONS[id].path.replace(/\{(\w+)\}/g, ':$1')),
  )
  const routes = opened.app.printRoutes({ commonPrefix: false, includeHooks: false })
  const paths = readTree(routes)
  assert.ok(paths.length > known.size, routes)
  for (const path of paths) assert.ok(known.has(path) || path in PUBLIC_PATHS, `${path} has no rule`)
})

/** The paths that a tree of routes printed by the router stands for. */
function readTree(tree: string): string[] {
  const prefixes: string[] = []
  return tree.split('\n').flatMap((line) => {
    const match = /^(?<indent>[│ ]*)(?:├|└)── (?<path>\S+)(?<methods> \(.+\))?/u.exec(line)
    if (match?.groups === undefined) return []
    const depth = (match.groups['indent'] ?? '').length / 4
    const path = (prefixes[depth - 1] ?? '') + (match.groups['path'] ?? '')
    prefixes[depth] = path
    return match.groups['methods'] === undefined ? [] : [path]
  })
}

test('a principal of a kind that no rule names may do nothing', () => {
  const stranger = { kind: 'stranger' } as unknown as ConsolePrincipal
  assert.equal(mayInProject(stranger, 'project.read', null), false)
  assert.equal(mayInProject(stranger, 'project.read', 'owner'), false)
  assert.equal(mayCall(stranger, { kind: 'signed_in' }, 'anyone'), false)
  assert.equal(isSteppedUp(stranger, 0), false)
  assert.equal(mayCall(stranger, { kind: 'operator' }, 'anyone'), false)
  assert.equal(mayCall(stranger, { kind: 'project', permission: 'project.read' }, 'anyone'), false)
  assert.equal(mayCall(stranger, { kind: 'unheard' } as never, 'anyone'), false)
})

test('who may not act in a project is told what is told of one that does not exist', async () => {
  await opened.client.call('projects.create', { body: { name: 'Real', namespace: 'real' } })
  const stranger = { kind: 'stranger' } as unknown as ConsolePrincipal
  for (const id of OPERATION_IDS) {
    const operation: Operation = OPERATIONS[id]
    if (operation.access.kind !== 'project') continue
    const answers = await Promise.all(['real', 'none'].map((project) => deniedAnswer(id, stranger, project)))
    assert.deepEqual(answers[0], answers[1], id)
  }
})

async function deniedAnswer(id: OperationId, principal: ConsolePrincipal, project: string): Promise<unknown> {
  const named = Object.keys((OPERATIONS[id] as Operation).params?.shape ?? {})
  const input = {
    params: Object.fromEntries(named.map((name) => [name, name === 'project' ? project : PARAMS[name]])),
    query: QUERIES[id] ?? {},
    body: BODIES[id] ?? {},
  }
  const call = { principal, requestId: 'r', signal: new AbortController().signal, input }
  try {
    return await callOperation(opened.runtime, id, call)
  } catch (error) {
    assert.ok(error instanceof ApiError)
    assert.equal(error.code, 'project_not_found')
    return { code: error.code, detail: error.detail.replace(project, '') }
  }
}

test('failures are limited for the one who fails, and never lock the operator out', async () => {
  const authorization = 'Bearer always-the-same-wrong-token'
  const statuses: number[] = []
  for (let i = 0; i <= MAX_FAILURES_PER_CREDENTIAL; i++) {
    statuses.push((await call('whoami', authorization)).statusCode)
  }
  assert.equal(statuses.at(-1), 429)
  const refused = await call('whoami', authorization)
  assert.match(String(refused.headers['retry-after']), /^[1-9]\d*$/)
  assert.equal((await call('whoami', `Bearer ${OPERATOR_TOKEN}`)).statusCode, 200)
})
