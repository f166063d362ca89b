import { type ExpressionBuilder, type Kysely, type SqlBool, type Expression, sql } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import { defineCommand } from '../database.ts'
import type { PeopleTables } from '../people-tables.ts'
import { type ChangeOrigin, type ControlAuditEntry, insertControlAuditEvent } from './control-audit.ts'

/*
 * Reads and writes of the tables of people in the form in which the sign-in library asks for them. Its adapter
 * (control/people/auth-adapter.ts) is the only caller.
 */

/** The tables that the library may read and write. */
export type PeopleTable = Exclude<keyof PeopleTables, 'personal_token' | 'password_reset'>

const TABLES: readonly PeopleTable[] = [
  'user_account',
  'user_credential',
  'user_passkey',
  'user_verification',
  'user_session',
  'device_code',
]

export type RecordValue = string | number | null
export type PeopleRecord = Readonly<Record<string, RecordValue>>

/** One condition. All `AND` conditions and, when there are any, one of the `OR` conditions must hold. */
export interface RecordCondition {
  readonly field: string
  readonly operator: string
  readonly value: RecordValue | readonly RecordValue[]
  readonly connector: 'AND' | 'OR'
}

/** What a write leaves in the audit log; null: nothing, as for a challenge. */
export type RecordAudit = { readonly origin: ChangeOrigin; readonly entry: ControlAuditEntry } | null

/** The table is chosen at run time, so its columns are not known to the types. */
type AnyTables = { [Table in PeopleTable]: Record<string, RecordValue> }
type Builder = ExpressionBuilder<AnyTables, PeopleTable>

function untyped(db: Kysely<ControlSchema>): Kysely<AnyTables> {
  return db as unknown as Kysely<AnyTables>
}

/** The name as a table of people. Throws for any other: the library must not reach further. */
export function peopleTable(name: string): PeopleTable {
  const table = TABLES.find((known) => known === name)
  if (table === undefined) throw new TypeError(`${name} is no table of people`)
  return table
}

export interface RecordQuery {
  readonly table: PeopleTable
  readonly where: readonly RecordCondition[]
  readonly limit: number
  readonly offset?: number
  readonly sortBy?: { readonly field: string; readonly direction: 'asc' | 'desc' } | undefined
}

/** The records that match, whole. */
export async function findPeopleRecords(
  reader: Kysely<ControlSchema>,
  { table, where, limit, offset, sortBy }: RecordQuery,
): Promise<PeopleRecord[]> {
  let query = untyped(reader)
    .selectFrom(table)
    .selectAll()
    .where((builder) => matches(builder, where))
    .limit(limit)
  if (offset !== undefined) query = query.offset(offset)
  if (sortBy !== undefined) query = query.orderBy(sortBy.field, sortBy.direction)
  return (await query.execute()) as PeopleRecord[]
}

/** How many records match. */
export async function countPeopleRecords(
  reader: Kysely<ControlSchema>,
  table: PeopleTable,
  where: readonly RecordCondition[],
): Promise<number> {
  const { count } = await untyped(reader)
    .selectFrom(table)
    .select((builder) => builder.fn.countAll<number>().as('count'))
    .where((builder) => matches(builder, where))
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Inserts one record. Null: it is a session of somebody whose account is disabled, whichever way they signed in. */
export const insertPeopleRecord = defineCommand<
  ControlSchema,
  { readonly table: PeopleTable; readonly values: PeopleRecord; readonly audit: RecordAudit },
  PeopleRecord | null
>('people.insert', async (tx, { table, values, audit }) => {
  if (table === 'user_session' && !(await noteSignIn(tx, values))) return null
  const row = await untyped(tx)
    .insertInto(peopleTable(table))
    .values(values)
    .returningAll()
    .executeTakeFirstOrThrow()
  if (audit !== null) await insertControlAuditEvent(tx, audit.origin, audit.entry)
  return row as PeopleRecord
})

/** Locks the account, so that a sign-in comes before it is disabled, and ends with that, or after, and is refused. */
async function noteSignIn(tx: Kysely<ControlSchema>, session: PeopleRecord): Promise<boolean> {
  const noted = await tx
    .updateTable('user_account')
    .set({ last_sign_in_at: Number(session['created_at']) })
    .where('id', '=', String(session['user_id']))
    .where('disabled_at', 'is', null)
    .executeTakeFirst()
  return noted.numUpdatedRows === 1n
}

export interface RecordUpdate {
  readonly table: PeopleTable
  readonly where: readonly RecordCondition[]
  readonly set: PeopleRecord
  /** Added to what is there. */
  readonly increment: Readonly<Record<string, number>>
  readonly audit: RecordAudit
}

/** Changes all records that match, and answers them as they are then. Nothing is audited when none matched. */
export const updatePeopleRecords = defineCommand<ControlSchema, RecordUpdate, PeopleRecord[]>(
  'people.update',
  async (tx, { table, where, set, increment, audit }) => {
    const raised = Object.entries(increment).map(
      ([field, by]) => [field, sql<number>`coalesce(${sql.ref(field)}, 0) + ${by}`] as const,
    )
    const values = { ...set, ...Object.fromEntries(raised) }
    if (Object.keys(values).length === 0) return []
    const rows = await untyped(tx)
      .updateTable(peopleTable(table))
      .set(values)
      .where((builder) => matches(builder as unknown as Builder, where))
      .returningAll()
      .execute()
    if (audit !== null && rows.length > 0) await insertControlAuditEvent(tx, audit.origin, audit.entry)
    return rows as PeopleRecord[]
  },
)

/** Deletes all records that match, and answers them. Of two callers at once only one gets a record. */
export const deletePeopleRecords = defineCommand<
  ControlSchema,
  { readonly table: PeopleTable; readonly where: readonly RecordCondition[] },
  PeopleRecord[]
>('people.delete', async (tx, { table, where }) => {
  const rows = await untyped(tx)
    .deleteFrom(peopleTable(table))
    .where((builder) => matches(builder as unknown as Builder, where))
    .returningAll()
    .execute()
  return rows as PeopleRecord[]
})

function matches(builder: Builder, where: readonly RecordCondition[]): Expression<SqlBool> {
  const all = where.filter(({ connector }) => connector === 'AND').map((one) => condition(builder, one))
  const any = where.filter(({ connector }) => connector === 'OR').map((one) => condition(builder, one))
  return builder.and([...all, ...(any.length === 0 ? [] : [builder.or(any)])])
}

const COMPARISONS: Readonly<Record<string, '=' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in'>> = {
  eq: '=',
  ne: '!=',
  lt: '<',
  lte: '<=',
  gt: '>',
  gte: '>=',
  in: 'in',
  not_in: 'not in',
}

function condition(builder: Builder, { field, operator, value }: RecordCondition): Expression<SqlBool> {
  if (value === null) {
    if (operator === 'eq') return builder(field, 'is', null)
    if (operator === 'ne') return builder(field, 'is not', null)
  }
  const comparison = COMPARISONS[operator]
  // Searches by a part of a text are not offered to anybody here.
  if (comparison === undefined) throw new TypeError(`conditions with ${operator} are not supported`)
  return builder(field, comparison, value as never)
}

export const peopleRecordCommands = [insertPeopleRecord, updatePeopleRecords, deletePeopleRecords]
