import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import { type Command, DatabaseUnavailableError, Rollback } from '../database.ts'
import { breaksConnection, isRetryable, toCallerError } from './errors.ts'
import { MAX_ATTEMPTS, RETRY_PAUSE_MS } from './limits.ts'
import { acquire } from './pool.ts'
import { kyselyOverClient } from './postgres-dialect.ts'

/** What one run of a transaction came to. `again`: nothing was committed, and another run makes sense. */
type Attempt<Result> =
  | { readonly next: 'answer'; readonly result: Result }
  | { readonly next: 'again'; readonly error: unknown }
  | { readonly next: 'fail'; readonly error: unknown }

/** What the command itself came to, before its transaction ends. */
type Executed<Result> =
  | { readonly next: 'commit'; readonly result: Result }
  | { readonly next: 'undo'; readonly attempt: Attempt<Result>; readonly usable: boolean }

/**
 * Runs a command in one transaction, again when the server asks for it. Once COMMIT was sent and no answer came,
 * nobody knows whether it happened: then it rejects with `DatabaseUnavailableError` and is never run again here.
 */
export async function runInTransaction<Schema, Args, Result>(
  pool: pg.Pool,
  command: Command<Schema, Args, Result>,
  args: Args,
): Promise<Result> {
  for (let number = 1; ; number += 1) {
    const attempt = await attemptOnce(pool, command, args)
    if (attempt.next === 'answer') return attempt.result
    if (attempt.next === 'fail') throw attempt.error
    if (number >= MAX_ATTEMPTS) throw new DatabaseUnavailableError('connection', attempt.error)
    await pause(Math.random() * RETRY_PAUSE_MS * 2 ** (number - 1))
  }
}

async function attemptOnce<Schema, Args, Result>(
  pool: pg.Pool,
  command: Command<Schema, Args, Result>,
  args: Args,
): Promise<Attempt<Result>> {
  const client = await acquire(pool)
  let usable = false
  try {
    try {
      await client.query('begin isolation level read committed')
    } catch (error) {
      // A pooled connection that the server closed shows only now, and nothing was asked of it yet.
      return { next: 'again', error }
    }
    const executed = await execute(client, command, args)
    if (executed.next === 'commit') {
      const refused = await commit<Result>(client)
      usable = refused === null
      return refused ?? { next: 'answer', result: executed.result }
    }
    usable = executed.usable && (await rollback(client))
    return executed.attempt
  } finally {
    client.release(!usable)
  }
}

async function execute<Schema, Args, Result>(
  client: pg.PoolClient,
  command: Command<Schema, Args, Result>,
  args: Args,
): Promise<Executed<Result>> {
  let failure: unknown = null
  const tx = kyselyOverClient<Schema>(client, (error) => {
    failure ??= error
  })
  let thrown: unknown = null
  try {
    const result = await command.execute(tx, args)
    if (failure === null) return { next: 'commit', result }
  } catch (error) {
    thrown = error
  }
  // After a failed query the transaction is lost, whatever the command made of it.
  if (failure !== null) {
    const next = isRetryable(failure) ? 'again' : 'fail'
    return {
      next: 'undo',
      attempt: { next, error: toCallerError(failure) },
      usable: !breaksConnection(failure),
    }
  }
  const attempt: Attempt<Result> =
    thrown instanceof Rollback
      ? { next: 'answer', result: thrown.result as Result }
      : { next: 'fail', error: thrown }
  return { next: 'undo', attempt, usable: true }
}

async function rollback(client: pg.PoolClient): Promise<boolean> {
  try {
    await client.query('rollback')
    return true
  } catch {
    return false
  }
}

/** Null: committed. */
async function commit<Result>(client: pg.PoolClient): Promise<Attempt<Result> | null> {
  try {
    const { command } = await client.query('commit')
    if (command === 'COMMIT') return null
    const cause = new Error(`COMMIT was answered with ${command}`)
    return { next: 'fail', error: new DatabaseUnavailableError('io', cause) }
  } catch (error) {
    return isRetryable(error) ? { next: 'again', error } : { next: 'fail', error: toCallerError(error) }
  }
}
