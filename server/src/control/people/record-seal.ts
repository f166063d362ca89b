import type { KeyObject } from 'node:crypto'
import type { CustomAdapter } from 'better-auth/adapters'
import type {
  PeopleRecord,
  PeopleTable,
  RecordCondition,
  RecordValue,
} from '../../metastore/queries/people-record.ts'
import { tokenHmac } from './token-hmac.ts'

/** Columns whose values never get into the database: it holds their HMAC. */
const SECRET_COLUMNS: Readonly<Partial<Record<PeopleTable, readonly string[]>>> = {
  user_session: ['token_hmac'],
  device_code: ['device_code', 'user_code'],
}

/** What the library keeps besides, and nobody here uses: tokens of the issuer of single sign-on are not stored at all. */
const DROPPED_COLUMNS: Readonly<Partial<Record<PeopleTable, readonly string[]>>> = {
  user_credential: [
    'accessToken',
    'refreshToken',
    'idToken',
    'accessTokenExpiresAt',
    'refreshTokenExpiresAt',
    'scope',
  ],
}

export type LooseRecord = Record<string, unknown>
export type Condition = Parameters<CustomAdapter['delete']>[0]['where'][number]

/** Translates between the library's records and ours: secrets go in as their HMAC. */
export function createRecordSeal(tokenKey: KeyObject) {
  function seal(table: PeopleTable, values: LooseRecord): PeopleRecord {
    const secrets = SECRET_COLUMNS[table] ?? []
    const dropped = DROPPED_COLUMNS[table] ?? []
    const entries = Object.entries(values)
      .filter(([column]) => !dropped.includes(column))
      .map(([column, value]) => [column, sealValue(secrets.includes(column), value)] as const)
    return Object.fromEntries(entries)
  }

  function sealValue(isSecret: boolean, value: unknown): RecordValue {
    const plain = toRecordValue(value)
    return isSecret && typeof plain === 'string' ? tokenHmac(tokenKey, plain) : plain
  }

  function sealWhere(table: PeopleTable, where: readonly Condition[]): RecordCondition[] {
    const secrets = SECRET_COLUMNS[table] ?? []
    return where.map(({ field, operator = 'eq', value, connector = 'AND' }) => {
      const isSecret = secrets.includes(field)
      const sealed = Array.isArray(value)
        ? value.map((one) => sealValue(isSecret, one))
        : sealValue(isSecret, value)
      return { field, operator, value: sealed, connector }
    })
  }

  /** Gives the secrets back that were asked for by their value. */
  function unseal(table: PeopleTable, row: PeopleRecord, known: LooseRecord): LooseRecord {
    const secrets = (SECRET_COLUMNS[table] ?? []).filter((column) => typeof known[column] === 'string')
    return { ...row, ...Object.fromEntries(secrets.map((column) => [column, known[column]])) }
  }

  function secretsOf(where: readonly Condition[]): LooseRecord {
    return Object.fromEntries(
      where.filter(({ operator = 'eq' }) => operator === 'eq').map(({ field, value }) => [field, value]),
    )
  }

  return { seal, sealWhere, unseal, secretsOf }
}

function toRecordValue(value: unknown): RecordValue {
  if (value === null || value === undefined) return null
  if (typeof value === 'string' || typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value instanceof Date) return value.getTime()
  throw new TypeError(`a ${typeof value} cannot be stored`)
}
