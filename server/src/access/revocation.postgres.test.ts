// @needs postgres
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import pg from 'pg'
import { type Postgres, startPostgres } from '../../../test/support/servers/postgres.ts'
import { waitUntilApplied } from './revocation.ts'
import { guardedWrite, WRITE_GATE } from '../../../test/support/access/commands.ts'
import { describeRevocation } from './revocation-contract.ts'
import {
  basic,
  CLIENT,
  openPostgresStack,
  REGION,
  type TestStack,
} from '../../../test/support/access/stack.ts'

let server: Postgres

before(async () => {
  server = await startPostgres({ shared: true })
})
after(() => server.stop())

describeRevocation('PostgreSQL', async () => openPostgresStack(await server.createDatabase()))

describe('a write on PostgreSQL that was checked and has not committed', () => {
  let stack: TestStack
  let gate: pg.Client

  before(async () => {
    const url = await server.createDatabase()
    stack = await openPostgresStack(url)
    gate = new pg.Client(url)
    await gate.connect()
  })
  after(async () => {
    await gate.end()
    await stack.close()
  })

  /** Resolves when so many connections wait for a lock; each look is a round trip. */
  async function untilWaiting(connections: number): Promise<void> {
    const query = "select count(*)::int n from pg_stat_activity where wait_event_type = 'Lock'"
    for (;;) {
      const { rows } = await gate.query<{ n: number }>(query)
      if ((rows[0]?.n ?? 0) >= connections) return
    }
  }

  it('holds up the revocation, and the next one is refused', async () => {
    const projectId = await stack.createProject('acme')
    const key = await stack.createKey(projectId)
    const db = await stack.openRegion()
    await stack.settle(db)
    const access = stack.openAccess(db)
    const shown = await access.authenticate({ authorization: basic(key.text), clientAddress: CLIENT })
    assert.ok(shown.ok)
    const guard = access.writeGuard(shown.principal)
    const write = (path: string) => db.run(guardedWrite, { guard, nowMs: Date.now(), projectId, path })

    await gate.query('select pg_advisory_lock($1)', [WRITE_GATE])
    const first = write('first')
    await untilWaiting(1)
    const seq = await stack.revoke(projectId, key.id)
    let isRevoked = false
    const revoked = waitUntilApplied({ source: stack.source, regions: [{ id: REGION.id, db }], seq }).then(
      (applied) => {
        isRevoked = applied.ok
      },
    )
    await untilWaiting(2)
    assert.equal(isRevoked, false)
    await gate.query('select pg_advisory_unlock($1)', [WRITE_GATE])
    assert.deepEqual(await first, { ok: true })
    await revoked
    assert.equal(isRevoked, true)
    assert.deepEqual(await write('second'), { ok: false, reason: 'revoked' })
  })
})
