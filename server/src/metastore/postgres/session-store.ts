import { createHash } from 'node:crypto'
import type pg from 'pg'
import type { RegionSchema } from '../region-schema.ts'
import type { UploadClaim, UploadProgress, UploadSessionRow, UploadSessionStore } from '../session-store.ts'
import { UPLOAD_SESSION_COLUMNS, uploadSessionValues } from '../upload-session-columns.ts'
import type { PostgresDatabase } from './database.ts'
import { toCallerError } from './errors.ts'
import { acquire } from './pool.ts'
import { preparedName } from './prepared-name.ts'

/** Upload sessions in the region's own schema. The store has no connections of its own: closing it closes nothing. */
export function createPostgresSessionStore(
  db: Pick<PostgresDatabase<RegionSchema>, 'pool' | 'schema'>,
): UploadSessionStore {
  return new PostgresSessionStore(db.pool, db.schema)
}

const COLUMNS = UPLOAD_SESSION_COLUMNS.join(', ')
const TYPES: Partial<Record<(typeof UPLOAD_SESSION_COLUMNS)[number], string>> = {
  offset_bytes: 'bigint',
  reserved_bytes: 'bigint',
  claimed_until: 'bigint',
  created_at: 'bigint',
  expires_at: 'bigint',
  pending: 'bytea',
}
const TYPED_PLACEHOLDERS = UPLOAD_SESSION_COLUMNS.map(
  (column, index) => `$${index + 1}::${TYPES[column] ?? 'text'}`,
).join(', ')

/** `$n` of a column of the row, and of the two limits that follow the row. */
function placeholder(column: (typeof UPLOAD_SESSION_COLUMNS)[number]): string {
  return `$${UPLOAD_SESSION_COLUMNS.indexOf(column) + 1}`
}
const QUOTA = `$${UPLOAD_SESSION_COLUMNS.length + 1}::bigint`
const MAX_OPEN = `$${UPLOAD_SESSION_COLUMNS.length + 2}::bigint`

/** Inserts when both limits allow it; answers how many were open before, and whether it inserted. */
const INSERT_WITHIN_LIMITS = `
  with mine as materialized (
    select count(*) as open from upload_session where credential_id = ${placeholder('credential_id')}),
  reserved as materialized (
    select coalesce(sum(reserved_bytes), 0) as bytes from upload_session
    where ${QUOTA} is not null and project_id = ${placeholder('project_id')}),
  inserted as (
    insert into upload_session (${COLUMNS}) select ${TYPED_PLACEHOLDERS} from mine, reserved
    where open < ${MAX_OPEN}
      and (${QUOTA} is null or bytes + ${placeholder('reserved_bytes')}::bigint <= ${QUOTA})
    returning 1)
  select mine.open, (select count(*) from inserted) as inserted from mine`

/**
 * In front of a single statement: its own transaction then commits without waiting for the disk, in one round trip.
 * The statement must read from `quick`, else PostgreSQL leaves it out.
 */
const QUICK = "with quick as materialized (select set_config('synchronous_commit', 'off', true))"

class PostgresSessionStore implements UploadSessionStore {
  readonly #pool: pg.Pool
  readonly #lockSpace: string

  constructor(pool: pg.Pool, schema: string) {
    this.#pool = pool
    this.#lockSpace = `berth/upload/${schema}/`
  }

  async create(
    row: UploadSessionRow,
    limits: { quotaLeftBytes: number | null; maxPerCredential: number },
  ): Promise<'created' | 'over_quota' | 'too_many'> {
    // Sums over other rows are only true while nobody else adds one: hence the locks, project before credential.
    const locks = [`credential/${row.credential_id}`]
    if (limits.quotaLeftBytes !== null) locks.unshift(`project/${row.project_id}`)
    return this.#locked(locks, async (client) => {
      const answer = await ask<{ open: number; inserted: number }>(client, INSERT_WITHIN_LIMITS, [
        ...uploadSessionValues(row),
        limits.quotaLeftBytes,
        limits.maxPerCredential,
      ])
      const { open = 0, inserted = 0 } = answer.rows[0] ?? {}
      if (inserted === 1) return 'created'
      return open >= limits.maxPerCredential ? 'too_many' : 'over_quota'
    })
  }

  async load(id: string): Promise<UploadSessionRow | null> {
    return first(await this.#query(`select ${COLUMNS} from upload_session where id = $1`, [id]))
  }

  async claim(id: string, claim: UploadClaim): Promise<UploadSessionRow | null> {
    return first(
      await this.#query(
        `${QUICK} update upload_session set claimed_by = $1, claimed_until = $2 from quick
         where id = $3 and expires_at ${claim.expired === true ? '<=' : '>'} $4 and (claimed_by is null or claimed_until <= $4)
           and ($5::bigint is null or offset_bytes = $5)
         returning ${COLUMNS}`,
        [claim.owner, claim.untilMs, id, claim.nowMs, claim.expectedOffsetBytes],
      ),
    )
  }

  async renewClaim(id: string, owner: string, untilMs: number): Promise<boolean> {
    const text = `${QUICK} update upload_session set claimed_until = $1 from quick where id = $2 and claimed_by = $3`
    return (await this.#query(text, [untilMs, id, owner])).rowCount === 1
  }

  async reserve(id: string, reservedBytes: number, quotaLeftBytes: number | null): Promise<boolean> {
    const text = `${QUICK} update upload_session set reserved_bytes = greatest(reserved_bytes, $1) from quick
       where id = $2 and ($3::bigint is null or reserved_bytes >= $1 or $1 + (
         select coalesce(sum(other.reserved_bytes), 0) from upload_session as other
         where other.project_id = upload_session.project_id and other.id <> upload_session.id) <= $3)`
    const values = [reservedBytes, id, quotaLeftBytes]
    if (quotaLeftBytes === null) return (await this.#query(text, values)).rowCount === 1
    const row = await this.load(id)
    if (row === null) return false
    return this.#locked([`project/${row.project_id}`], async (client) => {
      return (await ask(client, text, values)).rowCount === 1
    })
  }

  async saveProgress(id: string, owner: string, progress: UploadProgress): Promise<boolean> {
    const { rowCount } = await this.#query(
      `${QUICK} update upload_session set offset_bytes = $1, digest_so_far = $2, pending = $3, storage_state = $4,
         expires_at = $5, claimed_by = null, claimed_until = null
       from quick where id = $6 and claimed_by = $7`,
      [
        progress.offsetBytes,
        progress.digestSoFar,
        progress.pending,
        progress.storageState,
        progress.expiresAt,
        id,
        owner,
      ],
    )
    return rowCount === 1
  }

  async release(id: string, owner: string): Promise<void> {
    const text = `${QUICK} update upload_session set claimed_by = null, claimed_until = null from quick
       where id = $1 and claimed_by = $2`
    await this.#query(text, [id, owner])
  }

  async remove(id: string): Promise<void> {
    await this.#query(`${QUICK} delete from upload_session using quick where id = $1`, [id])
  }

  async listExpired(nowMs: number, limit: number): Promise<UploadSessionRow[]> {
    return all(
      await this.#query(
        `select ${COLUMNS} from upload_session
         where expires_at <= $1 and (claimed_by is null or claimed_until <= $1) order by expires_at, id limit $2`,
        [nowMs, limit],
      ),
    )
  }

  async list(
    filter: { projectId?: string; credentialId?: string; afterId?: string },
    limit: number,
  ): Promise<UploadSessionRow[]> {
    const conditions = ['id > $1']
    const values: unknown[] = [filter.afterId ?? '', limit]
    if (filter.projectId !== undefined) conditions.push(`project_id = $${values.push(filter.projectId)}`)
    if (filter.credentialId !== undefined)
      conditions.push(`credential_id = $${values.push(filter.credentialId)}`)
    const where = conditions.join(' and ')
    return all(
      await this.#query(`select ${COLUMNS} from upload_session where ${where} order by id limit $2`, values),
    )
  }

  async reservedBytes(projectId: string): Promise<number> {
    const text =
      'select coalesce(sum(reserved_bytes), 0) as reserved from upload_session where project_id = $1'
    return (await this.#query<{ reserved: number }>(text, [projectId])).rows[0]?.reserved ?? 0
  }

  async count(): Promise<number> {
    const text = 'select count(*) as sessions from upload_session'
    return (await this.#query<{ sessions: number }>(text, [])).rows[0]?.sessions ?? 0
  }

  async close(): Promise<void> {}

  async #query<Row extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<pg.QueryResult<Row>> {
    const client = await acquire(this.#pool)
    let failed = true
    try {
      const result = await ask<Row>(client, text, values)
      failed = false
      return result
    } finally {
      client.release(failed)
    }
  }

  /** Runs `work` in a transaction that holds these locks. Statements in it see what was committed before they start. */
  async #locked<Result>(
    locks: readonly string[],
    work: (client: pg.PoolClient) => Promise<Result>,
  ): Promise<Result> {
    const client = await acquire(this.#pool)
    let failed = true
    try {
      // One round trip: a text of several statements cannot have parameters, but the keys are only numbers.
      const taken = locks.map((lock) => `select pg_advisory_xact_lock(${lockKey(this.#lockSpace + lock)})`)
      const settings = ['begin isolation level read committed', 'set local synchronous_commit = off']
      await ask(client, [...settings, ...taken].join('; '), [])
      const result = await work(client)
      await ask(client, 'commit', [])
      failed = false
      return result
    } finally {
      // After a failure the connection is closed, and its transaction with it.
      client.release(failed)
    }
  }
}

/** A 64-bit number for a name. Two names with one number would only wait for each other without need. */
function lockKey(name: string): bigint {
  return createHash('sha256').update(name).digest().readBigInt64BE()
}

async function ask<Row extends pg.QueryResultRow>(
  client: pg.PoolClient,
  text: string,
  values: unknown[],
): Promise<pg.QueryResult<Row>> {
  const name = values.length === 0 ? null : preparedName(text)
  try {
    return await client.query<Row>(name === null ? { text, values } : { name, text, values })
  } catch (error) {
    throw toCallerError(error)
  }
}

function all(result: pg.QueryResult): UploadSessionRow[] {
  return result.rows as UploadSessionRow[]
}

function first(result: pg.QueryResult): UploadSessionRow | null {
  return all(result)[0] ?? null
}
