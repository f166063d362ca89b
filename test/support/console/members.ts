import { randomUUID } from 'node:crypto'
import type { Role } from '@berth/api/access'
import type { OperationInput, OperationResponse } from '@berth/api/operation'
import type { OperationId, OperationOf } from '@berth/api/operations'
import { hashSecret, mintKey } from '../../../server/src/access/key.ts'
import { callOperation } from '../../../server/src/control/call-operation.ts'
import { acceptAsNewcomer, createInvitation } from '../../../server/src/control/invitations/service.ts'
import { DEVICE_SESSION_IDLE_MS } from '../../../server/src/control/people/limits.ts'
import { tokenHmac } from '../../../server/src/control/people/token-hmac.ts'
import type { ConsolePrincipal, PersonPrincipal } from '../../../server/src/control/principal.ts'
import { insertPeopleRecord } from '../../../server/src/metastore/queries/people-record.ts'
import { createPersonalToken } from '../../../server/src/metastore/queries/personal-token.ts'
import type { TestConsole } from './stack.ts'

/*
 * People of a test console: accounts made by real invitations, and calls as they make them once they are authenticated.
 */

/** Invites somebody to the installation, who makes an account. The session counts as confirmed for ever. */
export async function addPerson(
  { runtime }: TestConsole,
  name: string,
  { isOperator = false }: { readonly isOperator?: boolean } = {},
): Promise<PersonPrincipal> {
  const email = `${name.toLowerCase()}@example.com`
  const origin = { actor: 'operator', requestId: 'people', nowMs: runtime.clock.nowMs() }
  const request = {
    projectId: null,
    email,
    role: null,
    operator: isOperator,
    expiresInSeconds: 600,
    mayManageOwners: true,
  }
  const { token } = await createInvitation(runtime, request, origin)
  const newcomer = { name, passwordHash: 'no password fits' }
  const { userId } = await acceptAsNewcomer(runtime, token, newcomer, { requestId: 'people' })
  return {
    kind: 'person',
    userId,
    email,
    name,
    isOperator,
    via: 'session',
    sessionId: `session-${userId}`,
    tokenId: null,
    steppedUpUntil: Number.MAX_SAFE_INTEGER,
    allowSensitive: false,
  }
}

/** Makes somebody a member, by an invitation of the operator's. */
export async function addMember(
  opened: TestConsole,
  project: string,
  person: PersonPrincipal,
  role: Role,
): Promise<void> {
  const { token } = await opened.client.call('invitations.create', {
    params: { project },
    body: { email: person.email, role },
  })
  await callAs(opened, person, 'invitations.accept', { body: { token } })
}

/** Calls an operation as somebody. Raises what the console would answer as an error. */
export async function callAs<Id extends OperationId>(
  { runtime }: TestConsole,
  principal: ConsolePrincipal,
  id: Id,
  input: OperationInput<OperationOf<Id>>,
): Promise<OperationResponse<OperationOf<Id>>> {
  const {
    params = {},
    query = {},
    body = {},
  } = input as {
    readonly params?: object
    readonly query?: object
    readonly body?: object
  }
  const result = await callOperation(runtime, id, {
    principal,
    requestId: randomUUID(),
    signal: new AbortController().signal,
    input: { params, query, body },
  })
  // As it comes over the wire.
  return JSON.parse(JSON.stringify(result)) as OperationResponse<OperationOf<Id>>
}

/** Makes a personal access token of somebody, which may do sensitive things: what their calls over HTTP carry. */
export async function makeToken({ runtime }: TestConsole, { userId }: PersonPrincipal): Promise<string> {
  const minted = mintKey('p')
  const origin = { actor: `person:${userId}`, requestId: 'people', nowMs: runtime.clock.nowMs() }
  const token = {
    id: minted.id,
    userId,
    name: 'test',
    pepperVersion: runtime.pepper.version,
    secretHmac: hashSecret(runtime.pepper.key, minted.secret),
    expiresAt: null,
    allowSensitive: true,
    limit: 100,
  }
  const outcome = await runtime.db.run(createPersonalToken, { token, origin })
  if (!outcome.ok) throw new Error(outcome.reason)
  return minted.text
}

/** Signs somebody in, in a session of the command line that was confirmed just now. Answers its token. */
export async function makeSession(
  { runtime }: TestConsole,
  { userId }: Pick<PersonPrincipal, 'userId'>,
): Promise<string> {
  const token = randomUUID()
  const nowMs = runtime.clock.nowMs()
  await runtime.db.run(insertPeopleRecord, {
    table: 'user_session',
    values: {
      id: randomUUID(),
      user_id: userId,
      token_hmac: tokenHmac(runtime.people.tokenKey, token),
      kind: 'device',
      method: 'device',
      created_at: nowMs,
      updated_at: nowMs,
      expires_at: nowMs + DEVICE_SESSION_IDLE_MS,
      confirmed_at: nowMs,
      ip_address: null,
      user_agent: null,
    },
    audit: null,
  })
  return token
}
