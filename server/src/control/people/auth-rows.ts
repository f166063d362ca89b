import type { PeopleRecord, PeopleTable, RecordAudit } from '../../metastore/queries/people-record.ts'
import { type AuthChange, currentAuthChange } from './auth-change.ts'
import { BROWSER_SESSION_MS, DEVICE_SESSION_IDLE_MS, MAX_USER_AGENT_LENGTH } from './limits.ts'

/*
 * What our tables hold besides the sign-in library's own columns, and what its writes leave in the audit log.
 */

/** Columns of a new row that the library knows nothing of. */
export function columnsOfInsert(table: PeopleTable): PeopleRecord {
  if (table === 'user_account') return { is_operator: 0 }
  if (table !== 'user_session' && table !== 'device_code') return {}
  const change = currentAuthChange()
  const from = { ip_address: change.address, user_agent: shortUserAgent(change.userAgent) }
  if (table === 'device_code') return { ...from, created_at: change.nowMs, confirmed_at: null }
  const isDevice = change.method === 'device'
  const lifetimeMs = isDevice ? DEVICE_SESSION_IDLE_MS : BROWSER_SESSION_MS
  return {
    ...from,
    kind: isDevice ? 'device' : 'browser',
    method: change.method,
    confirmed_at: change.confirmedAt,
    created_at: change.nowMs,
    updated_at: change.nowMs,
    expires_at: change.nowMs + lifetimeMs,
  }
}

/** The same for a change: the approval of a device says when whoever approved it was last confirmed. */
export function columnsOfUpdate(table: PeopleTable, set: Readonly<Record<string, unknown>>): PeopleRecord {
  if (table !== 'device_code' || set['status'] !== 'approved') return {}
  return { confirmed_at: currentAuthChange().confirmedAt }
}

/** The audit event of a new row; null for those that only carry a conversation along. */
export function auditOfInsert(table: PeopleTable, row: PeopleRecord): RecordAudit {
  const target = String(row['id'])
  switch (table) {
    case 'user_session': {
      const { method, kind, ip_address: address } = row
      const detail = { person: row['user_id'], method, kind, address }
      return audit(String(row['user_id']), { action: 'session.sign_in', target, detail })
    }
    case 'user_account': {
      const detail = { name: row['name'], email: row['email'], isOperator: false }
      return audit(target, { action: 'person.create', target, detail })
    }
    case 'user_credential': {
      const person = String(row['user_id'])
      const detail = { provider: row['provider_id'], account: row['account_id'] }
      return audit(person, { action: 'person.link', target: person, detail })
    }
    case 'user_passkey': {
      const person = String(row['user_id'])
      return audit(person, { action: 'passkey.create', target, detail: { person, name: row['name'] } })
    }
    case 'user_verification':
    case 'device_code':
      return null
  }
}

/** The audit event of a change; null for those that nobody decided on. */
export function auditOfUpdate(table: PeopleTable, set: Readonly<Record<string, unknown>>): RecordAudit {
  const status = set['status']
  if (table !== 'device_code' || (status !== 'approved' && status !== 'denied')) return null
  const change = currentAuthChange()
  const person = change.userId ?? 'nobody'
  const action = status === 'approved' ? 'device.approve' : 'device.deny'
  return audit(person, { action, target: person, detail: { address: change.address } })
}

function audit(
  person: string,
  entry: { readonly action: string; readonly target: string; readonly detail: Record<string, unknown> },
): RecordAudit {
  return { origin: originOf(currentAuthChange(), person), entry: { projectId: null, ...entry } }
}

function originOf({ requestId, nowMs }: AuthChange, person: string) {
  return { actor: `person:${person}`, requestId, nowMs }
}

/** As much of a User-Agent as is kept, without control characters. */
export function shortUserAgent(userAgent: string | null): string | null {
  if (userAgent === null) return null
  return userAgent.replace(/[^\x20-\x7e]/g, '').slice(0, MAX_USER_AGENT_LENGTH)
}
