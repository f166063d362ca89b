import { randomUUID } from 'node:crypto'
import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { type Database, DatabaseUnavailableError } from '../metastore/database.ts'
import { listReplicas } from '../metastore/queries/access-replica.ts'
import type { RegionSchema } from '../metastore/region-schema.ts'
import type { AccessSource } from './access-source.ts'
import type { MintedKey } from './key.ts'
import { LEASE_MARGIN_MS, LEASE_MS } from './limits.ts'
import type { KeyPrincipal } from './principal.ts'
import type { RegionAccess } from './region-access.ts'
import { waitUntilApplied } from './revocation.ts'
import { forgetKey, guardedWrite } from '../../../test/support/access/commands.ts'
import { basic, CLIENT, REGION, type TestStack } from '../../../test/support/access/stack.ts'

/** A database that can be cut off, as by a network. */
interface Faulty extends Database<RegionSchema> {
  cut(): void
  mend(): void
}

function faulty(db: Database<RegionSchema>): Faulty {
  let isCut = false
  function whole<Target extends object>(target: Target, own: object = {}): Target {
    return new Proxy(target, {
      get(_, name) {
        if (name in own) return Reflect.get(own, name)
        if (isCut) throw new DatabaseUnavailableError('connection', new Error('cut'))
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }
  const own = {
    reader: whole(db.reader),
    cut() {
      isCut = true
    },
    mend() {
      isCut = false
    },
  }
  return whole(db, own) as Faulty
}

/** A control plane whose answers can be held up. */
interface HeldSource extends AccessSource {
  hold(): void
  release(): void
}

function holdable(source: AccessSource): HeldSource {
  let held: PromiseWithResolvers<void> | null = null
  return {
    ...source,
    hold() {
      held = Promise.withResolvers()
    },
    release() {
      held?.resolve()
      held = null
    },
    async latestSeq() {
      await held?.promise
      return source.latestSeq()
    },
  }
}

/** What must hold of revocations on each kind of database. */
export function describeRevocation(name: string, open: () => Promise<TestStack>): void {
  describe(`revocation on ${name}`, () => {
    let stack: TestStack
    let projectId: string
    let key: MintedKey
    let db: Faulty
    let otherDb: Faulty
    let access: RegionAccess
    let other: RegionAccess
    let otherSource: HeldSource
    const clock = { ms: 0 }

    let namespace: string
    let projects = 0

    before(async () => {
      stack = await open()
    })
    after(() => stack.close())
    beforeEach(async () => {
      projects += 1
      namespace = `acme-${projects}`
      projectId = await stack.createProject(namespace)
      key = await stack.createKey(projectId)
      db = faulty(await stack.openRegion())
      otherDb = faulty(await stack.openRegion())
      access = stack.openAccess(db, { monotonicMs: () => clock.ms })
      otherSource = holdable(stack.source)
      other = stack.openAccess(otherDb, { source: otherSource, monotonicMs: () => clock.ms })
      await access.refresh()
      await other.refresh()
    })
    afterEach(async () => {
      otherSource.release()
      db.mend()
      otherDb.mend()
      await stack.closeRegions()
    })

    async function statusOf(region: RegionAccess, authorization: string): Promise<string> {
      const answer = await region.authenticate({ authorization, clientAddress: CLIENT })
      return answer.ok ? 'ok' : answer.reason
    }

    async function principalOf(region: RegionAccess, authorization: string): Promise<KeyPrincipal> {
      const answer = await region.authenticate({ authorization, clientAddress: CLIENT })
      assert.ok(answer.ok && answer.principal.kind === 'key')
      return answer.principal
    }

    async function tokenOf(region: RegionAccess, text = key.text): Promise<string> {
      return (await region.issueToken(await principalOf(region, basic(text)), [], { offline: false })).token
    }

    it('is true of keys and of tokens in each process when it returns', async () => {
      const token = `Bearer ${await tokenOf(access)}`
      for (const region of [access, other]) {
        assert.equal(await statusOf(region, basic(key.text)), 'ok')
        assert.equal(await statusOf(region, token), 'ok')
      }
      await stack.settle(db, await stack.revoke(projectId, key.id))
      for (const region of [access, other]) {
        assert.equal(await statusOf(region, basic(key.text)), 'revoked')
        assert.equal(await statusOf(region, token), 'revoked')
      }
    })

    it('waits for a process that is held up, which asks the database when its lease has ended', async () => {
      assert.equal(await statusOf(other, basic(key.text)), 'ok')
      otherSource.hold()
      const seq = await stack.revoke(projectId, key.id)
      const looks = Promise.withResolvers<void>()
      let lookCount = 0
      let isTrue = false
      const revoked = waitUntilApplied({
        source: stack.source,
        regions: [{ id: REGION.id, db }],
        seq,
        monotonicMs() {
          lookCount += 1
          if (lookCount > 5) looks.resolve()
          return clock.ms
        },
      }).then((applied) => {
        isTrue = applied.ok
      })
      await looks.promise
      assert.equal(await statusOf(other, basic(key.text)), 'ok', 'what it remembers, within its lease')
      assert.equal(isTrue, false, 'so the revocation has not returned')
      clock.ms += LEASE_MS + LEASE_MARGIN_MS
      await revoked
      assert.equal(isTrue, true)
      assert.equal(await statusOf(other, basic(key.text)), 'revoked')
      otherSource.release()
      await other.refresh()
      assert.equal(await statusOf(other, basic(key.text)), 'revoked')
    })

    it('leaves a process without lease and database with nothing to accept', async () => {
      assert.equal(await statusOf(other, basic(key.text)), 'ok')
      otherDb.cut()
      assert.equal(await statusOf(other, basic(key.text)), 'ok', 'what it remembers, within its lease')
      clock.ms += LEASE_MS
      assert.equal(await statusOf(other, basic(key.text)), 'unavailable')
    })

    it('goes on from its copy while the control plane cannot be asked', async () => {
      const down: AccessSource = { ...stack.source, latestSeq: async () => assert.fail('down') }
      const aloneDb = faulty(await stack.openRegion())
      const alone = stack.openAccess(aloneDb, { source: down, monotonicMs: () => clock.ms })
      await alone.refresh()
      assert.equal(await statusOf(alone, basic(key.text)), 'ok')
      aloneDb.cut()
      assert.equal(await statusOf(alone, basic(key.text)), 'ok', 'it holds a lease all the same')
      aloneDb.mend()
      await stack.settle(db, await stack.revoke(projectId, key.id))
      assert.equal(await statusOf(alone, basic(key.text)), 'revoked')
    })

    it('lets nothing be written afterwards, whatever was let in before', async () => {
      const guard = other.writeGuard(await principalOf(other, basic(key.text)))
      const write = (path: string) => otherDb.run(guardedWrite, { guard, nowMs: Date.now(), projectId, path })
      assert.deepEqual(await write('before'), { ok: true })
      await stack.settle(db, await stack.revoke(projectId, key.id))
      assert.deepEqual(await write('after'), { ok: false, reason: 'revoked' })
      const rows = await db.reader
        .selectFrom('repository')
        .select('path')
        .where('project_id', '=', projectId)
        .execute()
      assert.deepEqual(
        rows.map(({ path }) => path),
        ['before'],
      )
    })

    it('comes with the deletion of the project', async () => {
      const token = `Bearer ${await tokenOf(access)}`
      const guard = access.writeGuard(await principalOf(access, token))
      await stack.settle(db, await stack.deleteProject(projectId))
      for (const region of [access, other]) {
        assert.equal(await statusOf(region, basic(key.text)), 'revoked')
        assert.equal(await statusOf(region, token), 'revoked')
        assert.equal(await region.projectByNamespace(namespace), null)
      }
      const write = await db.run(guardedWrite, { guard, nowMs: Date.now(), projectId, path: 'after' })
      assert.deepEqual(write, { ok: false, reason: 'revoked' })
    })

    it('of a secret comes at the end of its overlap, and not before', async () => {
      const token = `Bearer ${await tokenOf(access)}`
      const guard = access.writeGuard(await principalOf(access, token))
      const write = (by = guard) =>
        db.run(guardedWrite, { guard: by, nowMs: Date.now(), projectId, path: randomUUID() })
      const rotated = await stack.rotate(projectId, key.id, Date.now() + 3_600_000)
      await stack.settle(db, rotated.seq)
      for (const region of [access, other]) {
        for (const shown of [basic(key.text), token, basic(rotated.key.text)]) {
          assert.equal(await statusOf(region, shown), 'ok')
        }
      }
      assert.equal((await write()).ok, true)
      const second = access.writeGuard(await principalOf(access, basic(rotated.key.text)))
      const again = await stack.rotate(projectId, key.id, Date.now() - 1)
      await stack.settle(db, again.seq)
      for (const region of [access, other]) {
        assert.equal(await statusOf(region, basic(key.text)), 'invalid')
        assert.equal(await statusOf(region, token), 'revoked')
        assert.equal(await statusOf(region, basic(rotated.key.text)), 'invalid')
        assert.equal(await statusOf(region, basic(again.key.text)), 'ok')
      }
      for (const by of [guard, second]) {
        assert.deepEqual(await write(by), { ok: false, reason: 'revoked' })
      }
    })

    it('is followed by a new key that works at once, though it was asked for before', async () => {
      const early = await stack.createKey(projectId)
      // Both may have found and remembered that there is no such key.
      await statusOf(access, basic(early.text))
      await statusOf(other, basic(early.text))
      await stack.settle(db)
      assert.equal(await statusOf(access, basic(early.text)), 'ok')
      assert.equal(await statusOf(other, basic(early.text)), 'ok')
    })

    it('goes for public repositories too', async () => {
      const need = { namespace, path: 'open', action: 'pull' } as const
      const outcomeOf = async (region: RegionAccess) =>
        (await region.authorize({ kind: 'anonymous' }, need)).outcome
      assert.equal(await outcomeOf(other), 'challenge')
      await stack.settle(db, await stack.publish(projectId, ['open']))
      assert.equal(await outcomeOf(other), 'allow')
      await stack.settle(db, await stack.publish(projectId, []))
      assert.equal(await outcomeOf(other), 'challenge')
    })

    it('needs the region: without it the answer says which region is pending', async () => {
      const seq = await stack.revoke(projectId, key.id)
      db.cut()
      const applied = await waitUntilApplied({ source: stack.source, regions: [{ id: 'far', db }], seq })
      assert.ok(!applied.ok)
      assert.deepEqual(
        applied.pending.map(({ regionId }) => regionId),
        ['far'],
      )
    })

    it('survives a control database that was put back to an older state', async () => {
      const lost = await stack.createKey(projectId)
      await stack.settle(db)
      for (const region of [access, other]) assert.equal(await statusOf(region, basic(lost.text)), 'ok')
      await stack.control.run(forgetKey, { keyId: lost.id })
      await access.refresh()
      await other.refresh()
      for (const region of [access, other]) {
        assert.equal(await statusOf(region, basic(lost.text)), 'invalid')
        assert.equal(await statusOf(region, basic(key.text)), 'ok')
      }
      const next = await stack.createKey(projectId)
      await stack.settle(db)
      assert.equal(await statusOf(other, basic(next.text)), 'ok')
    })

    it('forgets a process that has ended', async () => {
      assert.equal((await listReplicas(db.reader)).length, 2)
      await other.close()
      assert.equal((await listReplicas(db.reader)).length, 1)
      await other.close()
    })
  })
}
