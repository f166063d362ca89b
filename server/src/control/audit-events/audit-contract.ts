import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { AuditEvent, AuditFinding } from '@berth/api/audit-events'
import { OPERATIONS } from '@berth/api/operations'
import { hashAuditEvent } from '../../metastore/audit-hash.ts'
import { auditTables } from '../../metastore/queries/audit-chain.ts'
import { sealControlEvents, sealRegionEvents } from '../../metastore/seal-audit.ts'
import type { TestConsole } from '../../../../test/support/console/stack.ts'
import { pushImage } from '../../../../test/support/console/content.ts'

/** The audit log through the console: the same on every metadata database. */
export function describeAudit(name: string, open: () => Promise<TestConsole>): void {
  describe(`the audit log on ${name}`, () => {
    let opened: TestConsole
    let projectId: string
    const PROJECT = { project: 'audited' }

    before(async () => {
      opened = await open()
      const project = await opened.client.call('projects.create', {
        body: { name: 'Audited', namespace: 'audited' },
      })
      projectId = project.id
      await opened.client.call('projects.create', { body: { name: 'Other', namespace: 'another' } })
      for (const region of [opened.near.control, opened.far.control]) {
        for (const tag of ['one', 'two', 'three', 'four', 'five', 'six']) {
          await pushImage({ region, projectId, path: 'web' }, { tags: [tag], layers: [] })
        }
      }
      for (const key of ['a', 'b', 'c']) {
        await opened.client.call('apiKeys.create', { params: PROJECT, body: { name: key } })
      }
    })
    after(() => opened.close())

    async function verify(sinceHeads?: string): Promise<{ findings: AuditFinding[]; heads: string[] }> {
      const findings: AuditFinding[] = []
      const heads: string[] = []
      let cursor: string | null = null
      do {
        const query = {
          ...(cursor === null ? {} : { cursor }),
          ...(sinceHeads === undefined ? {} : { sinceHeads }),
        }
        const part: Awaited<ReturnType<typeof call>> = await call(query)
        findings.push(...part.findings)
        heads.push(...part.heads.map(({ head }) => head))
        cursor = part.continuation
      } while (cursor !== null)
      return { findings, heads }
    }

    async function call(query: { cursor?: string; sinceHeads?: string }) {
      const part = await opened.client.call('auditEvents.verify', { params: PROJECT, query })
      return OPERATIONS['auditEvents.verify'].response.parse(part)
    }

    async function exported(query: object = {}): Promise<AuditEvent[]> {
      const events: AuditEvent[] = []
      const stream = await opened.client.call('auditEvents.export', { params: PROJECT, query })
      for await (const event of stream) events.push(event)
      return events
    }

    /** Alters the database, verifies, and puts everything back. */
    async function findingsAfter(source: 'control' | 'near', sql: string): Promise<string[]> {
      const reader = auditTables(
        source === 'control' ? opened.runtime.db.reader : opened.near.control.db.reader,
      )
      const events = await reader.selectFrom('audit_event').selectAll().orderBy('id').execute()
      const chains = await reader.selectFrom('audit_chain').selectAll().execute()
      await opened.tamper(source, sql)
      try {
        return (await verify()).findings.map((finding) => `${finding.source} ${finding.kind} ${finding.seq}`)
      } finally {
        const statements = ['delete from audit_event', 'delete from audit_chain']
        for (const row of events) statements.push(insertSql('audit_event', row))
        for (const row of chains) statements.push(insertSql('audit_chain', row))
        await opened.tamper(source, statements.join(';'))
      }
    }

    test('is one chain a project and source, each event with the hash of the one before', async () => {
      const { findings, heads } = await verify()
      assert.deepEqual(findings, [])
      assert.deepEqual(
        heads.map((head) => head.split(':').slice(0, 2)),
        ['control', 'near', 'far'].map((source) => [source, projectId]),
      )
      const events = (await exported()).filter(({ source }) => source === 'near')
      let previous = '0'.repeat(64)
      for (const [i, event] of events.entries()) {
        assert.equal(event.chain?.seq, i + 1)
        // Whoever has an export can compute the hashes from it alone.
        const row = {
          id: Number(event.id.slice('near-'.length)),
          project_id: event.projectId,
          at: Date.parse(event.at),
          actor: event.actor,
          action: event.action,
          target: event.target,
          detail: JSON.stringify(event.detail),
          request_id: event.requestId,
        }
        previous = hashAuditEvent(row, i + 1, previous)
        assert.equal(event.chain.hash, previous)
      }
      assert.equal(heads[1], `near:${projectId}:${events.length}:${previous}`)
    })

    test('tells what was altered in it, and where', async () => {
      for (const source of ['control', 'near'] as const) {
        const at = (seq: number) => `coalesce(project_id, '') = '${projectId}' and chain_seq = ${seq}`
        assert.deepEqual(await findingsAfter(source, `update audit_event set actor = 'x' where ${at(2)}`), [
          `${source} changed 2`,
        ])
        assert.deepEqual(await findingsAfter(source, `update audit_event set detail = '{}' where ${at(3)}`), [
          `${source} changed 3`,
        ])
        assert.deepEqual(await findingsAfter(source, `delete from audit_event where ${at(2)}`), [
          `${source} removed 2`,
        ])
        assert.deepEqual(
          await findingsAfter(
            source,
            `update audit_event set chain_seq = -1 where ${at(2)};
             update audit_event set chain_seq = 2 where ${at(3)};
             update audit_event set chain_seq = 3 where ${at(-1)}`,
          ),
          [`${source} moved 2`, `${source} moved 3`],
        )
        const moveUp = `update audit_event set chain_seq = -chain_seq - 1 where coalesce(project_id, '') = '${projectId}' and chain_seq > 2;
          update audit_event set chain_seq = -chain_seq where coalesce(project_id, '') = '${projectId}' and chain_seq < 0;`
        const inserted = await findingsAfter(
          source,
          `${moveUp} insert into audit_event (project_id, at, actor, action, target, detail, request_id, position, chain_seq, chain_hash)
            values ('${projectId}', 1, 'x', 'x.y', 'x', '{}', 'x', 9999, 3, '${'ab'.repeat(32)}');
           update audit_chain set seq = seq + 1 where chain = '${projectId}'`,
        )
        assert.equal(inserted[0], `${source} changed 3`)
        assert.equal(inserted[1], `${source} moved 4`)
        assert.deepEqual(
          await findingsAfter(source, `update audit_chain set hash = 'x' where chain = '${projectId}'`),
          [`${source} head_changed ${await lastSeq(source)}`],
        )
      }
      assert.deepEqual((await verify()).findings, [])
    })

    async function lastSeq(source: string): Promise<number> {
      const { heads } = await verify()
      return Number(heads.find((head) => head.startsWith(`${source}:`))?.split(':')[2])
    }

    test('tells when its end was removed, and with a remembered head even when the record was, too', async () => {
      const { heads } = await verify()
      const last = await lastSeq('near')
      const chain = `coalesce(project_id, '') = '${projectId}'`
      const cut = `delete from audit_event where ${chain} and chain_seq > ${last - 2};`
      assert.deepEqual(await findingsAfter('near', cut), [`near truncated ${last - 1}`])
      const { chain_hash: hash } = await auditTables(opened.near.control.db.reader)
        .selectFrom('audit_event')
        .select('chain_hash')
        .where('project_id', '=', projectId)
        .where('chain_seq', '=', last - 2)
        .executeTakeFirstOrThrow()
      const hidden = `${cut} update audit_chain set seq = ${last - 2}, hash = '${hash}' where chain = '${projectId}'`
      assert.deepEqual(await findingsAfter('near', hidden), [])

      await opened.tamper('near', hidden)
      const shorter = (await verify(heads.join(','))).findings
      assert.deepEqual(
        shorter.map(({ kind, seq }) => `${kind} ${seq}`),
        [`truncated ${last - 1}`],
      )
      // Written anew to the same length, the head at that place is another.
      for (const tag of ['seven', 'eight']) {
        await pushImage(
          { region: opened.near.control, projectId, path: 'web' },
          { tags: [tag], layers: [], annotations: { tag } },
        )
      }
      assert.deepEqual(
        (await verify(heads.join(','))).findings.map(({ kind, seq }) => `${kind} ${seq}`),
        [`truncated ${last}`],
      )
      assert.deepEqual((await verify()).findings, [])
    })

    test('is verified as a whole by the operator, the installation and projects', async () => {
      const chains = new Set<string>()
      let cursor: string | null = null
      do {
        const part: Awaited<ReturnType<typeof call>> = await opened.client.call('auditEvents.verifyAll', {
          query: cursor === null ? {} : { cursor },
        })
        assert.deepEqual(part.findings, [])
        for (const { source, projectId: chain } of part.heads) chains.add(`${source} ${chain}`)
        cursor = part.continuation
      } while (cursor !== null)
      for (const chain of ['control null', `control ${projectId}`, `near ${projectId}`]) {
        assert.ok(chains.has(chain), `${chain} in ${[...chains].join(', ')}`)
      }
    })

    test('is filtered by who, what, where and when, and paged over all sources', async () => {
      const all = await exported()
      const everything = async (query: object) => {
        const items: AuditEvent[] = []
        let cursor: string | null = null
        do {
          const page: { items: AuditEvent[]; nextCursor: string | null } = await opened.client.call(
            'auditEvents.list',
            { params: PROJECT, query: { ...query, limit: 3, ...(cursor === null ? {} : { cursor }) } },
          )
          items.push(...page.items)
          cursor = page.nextCursor
        } while (cursor !== null)
        return items.map(({ id }) => id).sort()
      }
      const ids = (keep: (event: AuditEvent) => boolean) =>
        all
          .filter(keep)
          .map(({ id }) => id)
          .sort()
      const middle = all[Math.floor(all.length / 2)]
      assert.ok(middle !== undefined)
      const cases: [query: object, keep: (event: AuditEvent) => boolean][] = [
        [{}, () => true],
        [{ actor: 'key-of-a-test' }, ({ actor }) => actor === 'key-of-a-test'],
        [{ action: 'api_key' }, ({ action }) => action.startsWith('api_key.')],
        [{ target: 'web:' }, ({ target }) => target.startsWith('web:')],
        [{ target: 'w_b' }, () => false],
        [{ since: middle.at }, ({ at }) => at >= middle.at],
        [{ until: middle.at }, ({ at }) => at < middle.at],
        [{ requestId: middle.requestId }, ({ requestId }) => requestId === middle.requestId],
        [
          { source: 'far', action: 'manifest.push' },
          (event) => event.source === 'far' && event.action === 'manifest.push',
        ],
      ]
      for (const [query, keep] of cases) {
        assert.deepEqual(await everything(query), ids(keep), JSON.stringify(query))
        assert.deepEqual((await exported(query)).map(({ id }) => id).sort(), ids(keep), JSON.stringify(query))
      }
    })

    test('seals what transactions wrote at the same time, each event once', async () => {
      const { db } = opened.far.control
      const before = await auditTables(db.reader).selectFrom('audit_event').select('id').execute()
      await Promise.all(
        Array.from({ length: 30 }, async (_, i) => {
          await pushImage({ region: opened.far.control, projectId, path: `p${i % 3}` }, { tags: [`t${i}`] })
          await Promise.all([sealRegionEvents(db), sealRegionEvents(db)])
        }),
      )
      await sealControlEvents(opened.runtime.db)
      const rows = await auditTables(db.reader)
        .selectFrom('audit_event')
        .selectAll()
        .orderBy('position')
        .execute()
      assert.ok(rows.length >= before.length + 30)
      assert.deepEqual(
        rows.map(({ position }) => position),
        rows.map((_, i) => i + 1),
      )
      assert.deepEqual((await verify()).findings, [])
    })

    test('an export of many events is complete, in the order of time, and held in parts', async () => {
      const values = Array.from(
        { length: 1_300 },
        (_, i) => `('${projectId}', ${1_000 + i}, 'bulk', 'bulk.add', 'b${i}', '{}', 'bulk')`,
      )
      await opened.tamper(
        'near',
        `insert into audit_event (project_id, at, actor, action, target, detail, request_id) values ${values.join(',')}`,
      )
      const bulk = await exported({ actor: 'bulk' })
      assert.deepEqual(
        bulk.map(({ target }) => target),
        values.map((_, i) => `b${i}`),
      )
      assert.deepEqual((await verify()).findings, [])
    })
  })
}

function insertSql(table: string, row: object): string {
  const columns = Object.entries(row)
  const values = columns.map(([, value]) =>
    value === null
      ? 'null'
      : typeof value === 'number'
        ? String(value)
        : `'${String(value).replaceAll("'", "''")}'`,
  )
  return `insert into ${table} (${columns.map(([column]) => column).join(', ')}) values (${values.join(', ')})`
}
