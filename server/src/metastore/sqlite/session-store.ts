import { resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { createUploadSessionTable } from '../migrations/upload-session-table.ts'
import type { UploadClaim, UploadProgress, UploadSessionRow, UploadSessionStore } from '../session-store.ts'
import { UPLOAD_SESSION_COLUMNS, uploadSessionValues } from '../upload-session-columns.ts'
import { type BootGuard, openBootGuard } from './boot-guard.ts'
import { openConnection } from './connection.ts'
import { toCallerError } from './errors.ts'
import { SESSION_CACHE_KIB, SESSION_CHECKPOINT_PAGES } from './limits.ts'
import { kyselyOver } from './node-sqlite-dialect.ts'
import { type Outcome, Statements } from './statements.ts'

/** Raised with each change of the table. An older or newer file is emptied: sessions need not survive an upgrade. */
const SCHEMA_VERSION = 1

/**
 * Opens the file of upload sessions (made if missing). Calls run at once in this thread, some tens of microseconds
 * each, and none of them waits for the disk: what the operating system has taken survives the end of this process,
 * and when the machine itself went down, the file is not trusted and starts empty.
 *
 * Throws `DatabaseUnavailableError` when the file cannot be opened (`connection`: another process has it).
 */
export async function openSqliteSessionStore(options: { path: string }): Promise<UploadSessionStore> {
  const path = resolve(options.path)
  try {
    const guard = openBootGuard(path)
    const connection = openConnection(path, {
      synchronous: 'off',
      exclusive: true,
      queryOnly: false,
      cacheKib: SESSION_CACHE_KIB,
      autoCheckpointPages: SESSION_CHECKPOINT_PAGES,
    })
    try {
      await prepareSchema(connection)
    } catch (error) {
      connection.close()
      throw error
    }
    return new SqliteSessionStore(connection, guard)
  } catch (error) {
    throw toCallerError(error)
  }
}

async function prepareSchema(connection: DatabaseSync): Promise<void> {
  connection.exec('begin immediate')
  const version = connection.prepare('pragma user_version').get()?.['user_version']
  if (version !== SCHEMA_VERSION) {
    connection.exec('drop table if exists upload_session')
    await createUploadSessionTable(kyselyOver(connection), 'sqlite')
    connection.exec(`pragma user_version = ${SCHEMA_VERSION}`)
  }
  connection.exec('commit')
}

const COLUMNS = UPLOAD_SESSION_COLUMNS.join(', ')
const PLACEHOLDERS = UPLOAD_SESSION_COLUMNS.map(() => '?').join(', ')

class SqliteSessionStore implements UploadSessionStore {
  readonly #connection: DatabaseSync
  readonly #statements: Statements
  readonly #guard: BootGuard

  constructor(connection: DatabaseSync, guard: BootGuard) {
    this.#connection = connection
    this.#statements = new Statements(connection)
    this.#guard = guard
  }

  async create(
    row: UploadSessionRow,
    limits: { quotaLeftBytes: number | null; maxPerCredential: number },
  ): Promise<'created' | 'over_quota' | 'too_many'> {
    // This process is the only one with the file, and nothing here waits: what is read holds for what is written.
    const open = this.#run('select count(*) as open from upload_session where credential_id = ?', [
      row.credential_id,
    ])
    if (Number(open.rows[0]?.['open']) >= limits.maxPerCredential) return 'too_many'
    const { changes } = this.#run(
      `insert into upload_session (${COLUMNS}) select ${PLACEHOLDERS}
       where ? is null or ? + (select coalesce(sum(reserved_bytes), 0) from upload_session where project_id = ?) <= ?`,
      [
        ...uploadSessionValues(row),
        limits.quotaLeftBytes,
        row.reserved_bytes,
        row.project_id,
        limits.quotaLeftBytes,
      ],
    )
    return changes === 1 ? 'created' : 'over_quota'
  }

  async load(id: string): Promise<UploadSessionRow | null> {
    return first(this.#run(`select ${COLUMNS} from upload_session where id = ?`, [id]))
  }

  async claim(id: string, claim: UploadClaim): Promise<UploadSessionRow | null> {
    const { owner, untilMs, nowMs, expectedOffsetBytes, expired = false } = claim
    return first(
      this.#run(
        `update upload_session set claimed_by = ?, claimed_until = ?
         where id = ? and expires_at ${expired ? '<=' : '>'} ? and (claimed_by is null or claimed_until <= ?) and (? is null or offset_bytes = ?)
         returning ${COLUMNS}`,
        [owner, untilMs, id, nowMs, nowMs, expectedOffsetBytes, expectedOffsetBytes],
      ),
    )
  }

  async renewClaim(id: string, owner: string, untilMs: number): Promise<boolean> {
    const text = 'update upload_session set claimed_until = ? where id = ? and claimed_by = ?'
    return this.#run(text, [untilMs, id, owner]).changes === 1
  }

  async reserve(id: string, reservedBytes: number, quotaLeftBytes: number | null): Promise<boolean> {
    const { changes } = this.#run(
      `update upload_session set reserved_bytes = max(reserved_bytes, ?)
       where id = ? and (? is null or reserved_bytes >= ? or ? + (
         select coalesce(sum(other.reserved_bytes), 0) from upload_session as other
         where other.project_id = upload_session.project_id and other.id <> upload_session.id) <= ?)`,
      [reservedBytes, id, quotaLeftBytes, reservedBytes, reservedBytes, quotaLeftBytes],
    )
    return changes === 1
  }

  async saveProgress(id: string, owner: string, progress: UploadProgress): Promise<boolean> {
    const { changes } = this.#run(
      `update upload_session set offset_bytes = ?, digest_so_far = ?, pending = ?, storage_state = ?, expires_at = ?,
         claimed_by = null, claimed_until = null
       where id = ? and claimed_by = ?`,
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
    return changes === 1
  }

  async release(id: string, owner: string): Promise<void> {
    const text =
      'update upload_session set claimed_by = null, claimed_until = null where id = ? and claimed_by = ?'
    this.#run(text, [id, owner])
  }

  async remove(id: string): Promise<void> {
    this.#run('delete from upload_session where id = ?', [id])
  }

  async listExpired(nowMs: number, limit: number): Promise<UploadSessionRow[]> {
    return all(
      this.#run(
        `select ${COLUMNS} from upload_session
         where expires_at <= ? and (claimed_by is null or claimed_until <= ?) order by expires_at, id limit ?`,
        [nowMs, nowMs, limit],
      ),
    )
  }

  async list(
    filter: { projectId?: string; credentialId?: string; afterId?: string },
    limit: number,
  ): Promise<UploadSessionRow[]> {
    const conditions = ['id > ?']
    const values: unknown[] = [filter.afterId ?? '']
    if (filter.projectId !== undefined) {
      conditions.push('project_id = ?')
      values.push(filter.projectId)
    }
    if (filter.credentialId !== undefined) {
      conditions.push('credential_id = ?')
      values.push(filter.credentialId)
    }
    const where = conditions.join(' and ')
    return all(
      this.#run(`select ${COLUMNS} from upload_session where ${where} order by id limit ?`, [
        ...values,
        limit,
      ]),
    )
  }

  async reservedBytes(projectId: string): Promise<number> {
    const text =
      'select coalesce(sum(reserved_bytes), 0) as reserved from upload_session where project_id = ?'
    return Number(this.#run(text, [projectId]).rows[0]?.['reserved'])
  }

  async count(): Promise<number> {
    return Number(this.#run('select count(*) as sessions from upload_session', []).rows[0]?.['sessions'])
  }

  async close(): Promise<void> {
    if (!this.#connection.isOpen) return
    this.#connection.close()
    this.#guard.closeCleanly()
  }

  #run(text: string, values: readonly unknown[]): Outcome {
    try {
      return this.#statements.run(text, values)
    } catch (error) {
      throw toCallerError(error)
    }
  }
}

function all(outcome: Outcome): UploadSessionRow[] {
  return outcome.rows as unknown as UploadSessionRow[]
}

function first(outcome: Outcome): UploadSessionRow | null {
  return all(outcome)[0] ?? null
}
