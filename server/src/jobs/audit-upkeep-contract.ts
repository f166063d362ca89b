import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createDatabaseAccessSource } from '../access/access-source.ts'
import { applyFeed } from '../access/feed.ts'
import { auditTables } from '../metastore/queries/audit-chain.ts'
import { compactFeed, pruneControlEvents, pruneRegionEvents } from './audit-upkeep.ts'
import { sealControlEvents } from '../metastore/seal-audit.ts'
import { pushImage } from '../../../test/support/console/content.ts'
import type { TestConsole } from '../../../test/support/console/stack.ts'

const DAY_MS = 86_400_000
const { signal } = new AbortController()

/** Upkeep of the audit log and of the access feed: the same on every metadata database. */
export function describeAuditUpkeep(name: string, open: () => Promise<TestConsole>): void {
  describe(`audit upkeep on ${name}`, () => {
    let opened: TestConsole
    let projectId: string
    const PROJECT = { project: 'kept' }

    before(async () => {
      opened = await open()
      projectId = (await opened.client.call('projects.create', { body: { name: 'Kept', namespace: 'kept' } }))
        .id
    })
    after(() => opened.close())

    const control = () => auditTables(opened.runtime.db.reader)

    async function verify() {
      return opened.client.call('auditEvents.verify', { params: PROJECT, query: {} })
    }

    test('the retention removes old events from the beginning, and the rest still verifies', async () => {
      for (let i = 0; i < 6; i += 1) {
        await opened.client.call('projects.update', { params: PROJECT, body: { name: `Kept ${i}` } })
        await pushImage(
          { region: opened.near.control, projectId, path: 'web' },
          { tags: [`v${i}`], layers: [] },
        )
      }
      const remembered = (await verify()).heads.map(({ head }) => head).join(',')
      assert.equal(await pruneControlEvents(opened.runtime.db, DAY_MS, signal), 0)
      // The time of an event is part of its hash, so it is the retention that moves: all are old from tomorrow's view.
      assert.ok((await pruneControlEvents(opened.runtime.db, -DAY_MS, signal)) >= 6)
      assert.ok((await pruneRegionEvents(opened.near.control.db, -DAY_MS, signal)) > 6)
      await sealControlEvents(opened.runtime.db)
      const part = await verify()
      assert.deepEqual(part.findings, [])
      const left = await control()
        .selectFrom('audit_event')
        .selectAll()
        .where('project_id', '=', projectId)
        .execute()
      assert.deepEqual(left.map(({ action }) => action).sort(), ['audit.prune', 'project.update'])
      // The last event before the removal is still there, so a head of that time still fits.
      const again = await opened.client.call('auditEvents.verify', {
        params: PROJECT,
        query: { sinceHeads: remembered },
      })
      assert.deepEqual(again.findings, [])
    })

    test('the access feed keeps the last change of each thing, and a region that starts over gets all of it', async () => {
      const created = await opened.client.call('apiKeys.create', { params: PROJECT, body: { name: 'a' } })
      for (let i = 0; i < 5; i += 1) {
        await opened.client.call('apiKeys.rotate', {
          params: { ...PROJECT, key: created.id },
          body: { overlapSeconds: 0 },
        })
      }
      await opened.client.call('apiKeys.create', { params: PROJECT, body: { name: 'b' } })
      const changes = () =>
        opened.runtime.db.reader.selectFrom('access_change').selectAll().orderBy('seq').execute()
      const before = await changes()
      assert.equal(await compactFeed(opened.runtime.db, signal), 0)
      await opened.tamper('control', `update access_change set at = at - ${2 * DAY_MS}`)
      await compactFeed(opened.runtime.db, signal)
      const kept = await changes()
      assert.ok(kept.length < before.length)
      assert.equal(kept.at(-1)?.seq, before.at(-1)?.seq)
      const things = before.map(({ kind, entity_id }) => `${kind} ${entity_id}`)
      assert.deepEqual(
        kept.map(({ kind, entity_id }) => `${kind} ${entity_id}`),
        things.filter((thing, i) => things.lastIndexOf(thing) === i),
      )
      assert.equal(await compactFeed(opened.runtime.db, signal), 0)

      // As if the region had never read anything.
      const { db } = opened.near.control
      const copy = () =>
        db.reader.selectFrom('access_key').select(['id', 'secret_version']).orderBy('id').execute()
      const expected = await copy()
      await opened.tamper('near', 'delete from access_key; update access_cursor set applied_seq = 0')
      const applied = await applyFeed(createDatabaseAccessSource(opened.runtime.db), db)
      assert.equal(applied, before.at(-1)?.seq)
      assert.deepEqual(await copy(), expected)
    })
  })
}
