import { type Kysely, sql } from 'kysely'
import type { DatabaseKind } from '../database.ts'
import type { Dialect } from './column-types.ts'
import { up as controlVault } from './control/0004-vault.ts'
import { up as controlWebhooks } from './control/0008-webhooks.ts'
import { up as controlAuditChain } from './control/0007-audit-chain.ts'
import { up as controlRegions } from './control/0009-regions.ts'
import { up as controlTokenRights } from './control/0011-token-rights.ts'
import { up as controlPeopleUpkeep } from './control/0010-people-upkeep.ts'
import { up as controlFirst } from './control/0001-first.ts'
import { up as controlPeople } from './control/0002-people.ts'
import { up as controlTrustRules } from './control/0005-trust-rules.ts'
import { up as controlMembers } from './control/0003-members.ts'
import { up as controlPolicies } from './control/0006-policies.ts'
import { up as regionHomeRegion } from './region/0006-home-region.ts'
import { up as regionAuditChain } from './region/0005-audit-chain.ts'
import { up as regionFirst } from './region/0001-first.ts'
import { up as regionPolicies } from './region/0004-policies.ts'
import { up as regionTrustRules } from './region/0003-trust-rules.ts'
import { up as regionUpstreams } from './region/0002-upstreams.ts'

/** One step of a schema. Names are the files' names, sort in the order of their execution, and never change. */
export interface Migration {
  readonly name: string
  readonly up: (db: Kysely<unknown>, dialect: Dialect) => Promise<void>
}

/** All migrations, oldest first. */
export const MIGRATIONS: Readonly<Record<DatabaseKind, readonly Migration[]>> = {
  control: [
    { name: '0001-first', up: controlFirst },
    { name: '0002-people', up: controlPeople },
    { name: '0003-members', up: controlMembers },
    { name: '0004-vault', up: controlVault },
    { name: '0005-trust-rules', up: controlTrustRules },
    { name: '0006-policies', up: controlPolicies },
    { name: '0007-audit-chain', up: controlAuditChain },
    { name: '0008-webhooks', up: controlWebhooks },
    { name: '0009-regions', up: controlRegions },
    { name: '0010-people-upkeep', up: controlPeopleUpkeep },
    { name: '0011-token-rights', up: controlTokenRights },
  ],
  region: [
    { name: '0001-first', up: regionFirst },
    { name: '0002-upstreams', up: regionUpstreams },
    { name: '0003-trust-rules', up: regionTrustRules },
    { name: '0004-policies', up: regionPolicies },
    { name: '0005-audit-chain', up: regionAuditChain },
    { name: '0006-home-region', up: regionHomeRegion },
  ],
}

/** The database was written by a newer version of Berth (or belongs to something else). */
export class DatabaseTooNewError extends Error {
  constructor(kind: DatabaseKind, unknownMigrations: readonly string[]) {
    super(
      `the ${kind} database has the schema of a newer version of Berth (unknown migrations: ` +
        `${unknownMigrations.join(', ')}); start that version or restore a backup from before the upgrade`,
    )
    this.name = 'DatabaseTooNewError'
  }
}

/** A file or schema of one kind was named where the other kind belongs. */
export class WrongDatabaseKindError extends Error {
  constructor(expected: DatabaseKind, found: string) {
    super(`this is a ${found} database, not a ${expected} database: check the configured paths and schemas`)
    this.name = 'WrongDatabaseKindError'
  }
}

/**
 * Brings a database to the schema of this version. `tx` must be inside a transaction that excludes every other
 * migrating process (`BEGIN IMMEDIATE` on SQLite, an advisory lock on PostgreSQL); all steps and their records are
 * committed together. Answers the names of the migrations that were run.
 *
 * Throws `DatabaseTooNewError` when the database knows a migration that this version does not, and
 * `WrongDatabaseKindError`.
 */
export async function migrate(
  tx: Kysely<unknown>,
  kind: DatabaseKind,
  dialect: Dialect,
  nowMs: number,
  migrations: readonly Migration[] = MIGRATIONS[kind],
): Promise<string[]> {
  await sql`create table if not exists schema_migration (
    name text not null primary key, kind text not null, applied_at bigint not null
  )`.execute(tx)
  const { rows } = await sql<{ name: string; kind: string }>`select name, kind from schema_migration`.execute(
    tx,
  )
  const foreign = rows.find((row) => row.kind !== kind)
  if (foreign !== undefined) throw new WrongDatabaseKindError(kind, foreign.kind)
  const applied = new Set(rows.map((row) => row.name))
  const known = new Set(migrations.map((migration) => migration.name))
  const unknown = [...applied].filter((name) => !known.has(name)).sort()
  if (unknown.length > 0) throw new DatabaseTooNewError(kind, unknown)

  const done: string[] = []
  for (const migration of migrations) {
    if (applied.has(migration.name)) continue
    await migration.up(tx, dialect)
    await sql`insert into schema_migration (name, kind, applied_at) values (${migration.name}, ${kind}, ${nowMs})`.execute(
      tx,
    )
    done.push(migration.name)
  }
  return done
}
