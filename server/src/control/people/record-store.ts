import type { KeyObject } from 'node:crypto'
import { APIError } from 'better-auth/api'
import type { ControlSchema } from '../../metastore/control-schema.ts'
import type { Database } from '../../metastore/database.ts'
import {
  countPeopleRecords,
  deletePeopleRecords,
  findPeopleRecords,
  insertPeopleRecord,
  peopleTable,
  updatePeopleRecords,
} from '../../metastore/queries/people-record.ts'
import { auditOfInsert, auditOfUpdate, columnsOfInsert, columnsOfUpdate } from './auth-rows.ts'
import { type Condition, createRecordSeal, type LooseRecord } from './record-seal.ts'

/**
 * The tables of people as the sign-in library's adapter needs them: secrets are replaced by their HMAC on the way in, and
 * put back into answers to whoever showed them.
 */
export function createRecordStore(db: Database<ControlSchema>, tokenKey: KeyObject) {
  const { seal, sealWhere, unseal, secretsOf } = createRecordSeal(tokenKey)

  async function find(
    model: string,
    where: readonly Condition[],
    page: {
      readonly limit: number
      readonly offset?: number | undefined
      readonly sortBy?: { readonly field: string; readonly direction: 'asc' | 'desc' } | undefined
    },
  ): Promise<LooseRecord[]> {
    const table = peopleTable(model)
    const { limit, offset = 0, sortBy } = page
    const query = { table, where: sealWhere(table, where), limit, offset, sortBy }
    const rows = await findPeopleRecords(db.reader, query)
    return rows.map((row) => unseal(table, row, secretsOf(where)))
  }

  async function change(
    model: string,
    where: readonly Condition[],
    { set, increment = {} }: { readonly set: LooseRecord; readonly increment?: Record<string, number> },
  ): Promise<LooseRecord[]> {
    const table = peopleTable(model)
    const values = { ...seal(table, set), ...columnsOfUpdate(table, set) }
    const audit = auditOfUpdate(table, set)
    const rows = await db.run(updatePeopleRecords, {
      table,
      where: sealWhere(table, where),
      set: values,
      increment,
      audit,
    })
    return rows.map((row) => unseal(table, row, { ...secretsOf(where), ...set }))
  }

  async function remove(model: string, where: readonly Condition[]): Promise<LooseRecord[]> {
    const table = peopleTable(model)
    return [...(await db.run(deletePeopleRecords, { table, where: sealWhere(table, where) }))]
  }

  async function insert(model: string, data: LooseRecord): Promise<LooseRecord> {
    const table = peopleTable(model)
    const values = { ...seal(table, data), ...columnsOfInsert(table) }
    const row = await db.run(insertPeopleRecord, { table, values, audit: auditOfInsert(table, values) })
    if (row === null) throw new APIError('FORBIDDEN', { message: 'The account is disabled.' })
    return unseal(table, row, data)
  }

  function count(model: string, where: readonly Condition[]): Promise<number> {
    const table = peopleTable(model)
    return countPeopleRecords(db.reader, table, sealWhere(table, where))
  }

  return { find, insert, change, remove, count }
}
