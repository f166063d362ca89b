import type { KeyObject } from 'node:crypto'
import { createAdapterFactory, type CustomAdapter } from 'better-auth/adapters'
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
 * The sign-in library's database: its writes are commands, so that they go through the one writer on SQLite and are
 * audited in their own transaction; its reads use the reader. Secrets are replaced by their HMAC on the way in, and put
 * back into answers to whoever showed them.
 */
export function createAuthAdapter(db: Database<ControlSchema>, tokenKey: KeyObject) {
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

  const createAdapter = (columnOf: (model: string, field: string) => string): CustomAdapter => ({
    async create({ model, data }) {
      const table = peopleTable(model)
      const values = { ...seal(table, data), ...columnsOfInsert(table) }
      const row = await db.run(insertPeopleRecord, { table, values, audit: auditOfInsert(table, values) })
      return unseal(table, row, data) as typeof data
    },
    async update({ model, where, update }) {
      return firstOf(await change(model, where, { set: update as LooseRecord }))
    },
    updateMany: async ({ model, where, update }) => (await change(model, where, { set: update })).length,
    findOne: async ({ model, where }) => firstOf(await find(model, where, { limit: 1 })),
    async findMany({ model, where, sortBy, ...page }) {
      // Only here the library passes a field by its own name.
      const order = sortBy === undefined ? undefined : { ...sortBy, field: columnOf(model, sortBy.field) }
      return (await find(model, where ?? [], { ...page, sortBy: order })) as never[]
    },
    async delete({ model, where }) {
      await remove(model, where)
    },
    deleteMany: async ({ model, where }) => (await remove(model, where)).length,
    consumeOne: async ({ model, where }) => firstOf(await remove(model, where)),
    async incrementOne({ model, where, increment, set = {} }) {
      return firstOf(await change(model, where, { set, increment }))
    },
    async count({ model, where }) {
      const table = peopleTable(model)
      return countPeopleRecords(db.reader, table, sealWhere(table, where ?? []))
    },
  })
  return createAdapterFactory({
    config: ADAPTER_CONFIG,
    adapter: ({ getFieldName }) => createAdapter((model, field) => getFieldName({ model, field })),
  })
}

const ADAPTER_CONFIG: Parameters<typeof createAdapterFactory>[0]['config'] = {
  adapterId: 'berth-commands',
  adapterName: 'Berth',
  supportsBooleans: false,
  supportsDates: true,
  supportsJSON: false,
  supportsArrays: false,
  supportsNumericIds: false,
  transaction: false,
  customTransformInput: ({ data }) => (data instanceof Date ? data.getTime() : (data as unknown)),
  customTransformOutput: ({ data, fieldAttributes }) =>
    fieldAttributes.type === 'date' && typeof data === 'number' ? new Date(data) : (data as unknown),
}

/** The library says which type a row has by the model that it asks for. */
function firstOf<Row>(rows: readonly LooseRecord[]): Row | null {
  return (rows[0] ?? null) as Row | null
}
