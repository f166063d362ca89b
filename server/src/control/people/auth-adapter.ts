import type { KeyObject } from 'node:crypto'
import { createAdapterFactory, type CustomAdapter } from 'better-auth/adapters'
import type { ControlSchema } from '../../metastore/control-schema.ts'
import type { Database } from '../../metastore/database.ts'
import type { LooseRecord } from './record-seal.ts'
import { createRecordStore } from './record-store.ts'

/**
 * The sign-in library's database: its writes are commands, so that they go through the one writer on SQLite and are
 * audited in their own transaction; its reads use the reader.
 */
export function createAuthAdapter(db: Database<ControlSchema>, tokenKey: KeyObject) {
  const { find, insert, change, remove, count } = createRecordStore(db, tokenKey)

  const createAdapter = (columnOf: (model: string, field: string) => string): CustomAdapter => ({
    create: async ({ model, data }) => (await insert(model, data)) as typeof data,
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
    count: ({ model, where }) => count(model, where ?? []),
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
