import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { canary, findCanaries } from '../../../../test/hostile/canaries.ts'
import { pushImage } from '../../../../test/support/console/content.ts'
import { createConsole } from '../console.ts'
import { OPERATOR_TOKEN, type TestConsole } from '../../../../test/support/console/stack.ts'

const PASSWORD = 'dckr_pat_Wm3h0Yt9ZkQ1pLs7vXcB'
const OTHER_PASSWORD = 'ghp_8fKq2LzR5tYw1NcV7bXd0Ms4HgJ6'

/** Third-party registries, through the console: the same on every metadata database. */
export function describeRegistries(name: string, open: () => Promise<TestConsole>): void {
  describe(`third-party registries on ${name}`, () => {
    let opened: TestConsole
    let projects = 0

    before(async () => {
      opened = await open()
    })
    after(() => opened.close())

    function fails(code: ApiErrorCode, path?: string): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code, error.detail)
        if (path !== undefined)
          assert.deepEqual(
            error.errors.map((field) => field.path),
            [path],
          )
        return true
      }
    }

    async function project(): Promise<{ readonly project: string }> {
      projects += 1
      const namespace = `third-${projects}`
      await opened.client.call('projects.create', { body: { name: namespace, namespace } })
      return { project: namespace }
    }

    const HUB = { provider: 'docker_hub', username: 'alice', password: PASSWORD } as const

    test('hosts, names and slugs are filled in', async () => {
      const params = await project()
      const hub = await opened.client.call('registries.create', { params, body: HUB })
      OPERATIONS['registries.create'].response.parse(hub)
      assert.deepEqual(
        [hub.host, hub.name, hub.slug, hub.username, hub.hasPassword, hub.exchange],
        ['docker.io', 'Docker Hub', 'docker-hub', 'alice', true, null],
      )
      assert.deepEqual(hub.pullAddresses[0], {
        region: 'near',
        address: `near.example:5000/${params.project}/docker-hub`,
      })
      const again = await opened.client.call('registries.create', {
        params,
        body: { provider: 'docker_hub' },
      })
      assert.deepEqual([again.slug, again.username, again.hasPassword], ['docker-hub-2', null, false])
      const ghcr = await opened.client.call('registries.create', { params, body: { provider: 'ghcr' } })
      assert.deepEqual([ghcr.host, ghcr.slug], ['ghcr.io', 'ghcr'])
      const body = { provider: 'custom', host: '123456789012.dkr.ecr.eu-west-1.amazonaws.com' } as const
      const ecr = await opened.client.call('registries.create', { params, body })
      assert.deepEqual(
        [ecr.exchange, ecr.slug, ecr.name],
        ['ecr', '123456789012-dkr-ecr-eu-west-1-amazonaws-com', body.host],
      )
      const { items } = await opened.client.call('registries.list', { params, query: {} })
      assert.deepEqual(items.map(({ provider }) => provider).toSorted(), [
        'custom',
        'docker_hub',
        'docker_hub',
        'ghcr',
        'managed',
        'managed',
      ])
    })

    test('what does not fit together is refused, each with the field that is wrong', async () => {
      const params = await project()
      const wrong: readonly (readonly [body: object, path: string])[] = [
        [{ provider: 'custom' }, 'body.host'],
        [{ provider: 'docker_hub', host: 'evil.example' }, 'body.host'],
        [{ provider: 'custom', host: 'near.example:5000' }, 'body.host'],
        [{ provider: 'custom', host: 'registry.example' }, 'body.host'],
        [{ provider: 'custom', host: 'index.docker.io' }, 'body.host'],
        [{ provider: 'custom', host: 'ghcr.io' }, 'body.host'],
        [{ provider: 'custom', host: 'https://a.example' }, 'body.host'],
        [{ provider: 'custom', host: 'user@a.example' }, 'body.host'],
        [{ provider: 'custom', host: 'a.example/path' }, 'body.host'],
        [{ provider: 'custom', host: '0x7f.1' }, 'body.host'],
        [{ provider: 'custom', host: 'a.example:0' }, 'body.host'],
        [{ provider: 'ghcr', username: 'alice' }, 'body.password'],
        [{ provider: 'ghcr', password: PASSWORD }, 'body.username'],
        [{ provider: 'ghcr', username: 'a:b', password: PASSWORD }, 'body.username'],
        [{ provider: 'ghcr', slug: 'No/Slash' }, 'body.slug'],
        [{ provider: 'managed' }, 'body.provider'],
      ]
      for (const [body, path] of wrong) {
        await assert.rejects(
          opened.client.call('registries.create', { params, body: body as typeof HUB }),
          fails('validation_failed', path),
          JSON.stringify(body),
        )
      }
    })

    test('a password is in no answer, no event, no log and not in clear in the database', async () => {
      const params = await project()
      const created = await opened.client.call('registries.create', { params, body: HUB })
      const target = { ...params, registry: created.id }
      const changed = await opened.client.call('registries.update', {
        params: target,
        body: { username: 'bob', password: OTHER_PASSWORD },
      })
      assert.equal(changed.username, 'bob')
      const shown = await opened.client.call('registries.show', { params: target })
      const listed = await opened.client.call('registries.list', { params })
      const audited = await opened.client.call('auditEvents.listAll', { query: { limit: 500 } })
      const rows = await opened.runtime.db.reader.selectFrom('registry').selectAll().execute()
      const canaries = [canary('password', PASSWORD), canary('other password', OTHER_PASSWORD)]
      const texts = [JSON.stringify([created, changed, shown, listed, audited, rows]), opened.logged()]
      assert.deepEqual(
        texts.flatMap((text) => findCanaries(canaries, 'the console', text)),
        [],
      )
      const row = rows.find(({ id }) => id === created.id)
      const context = {
        projectId: row?.project_id ?? '',
        record: `registry/${created.id}`,
        field: 'password',
      }
      const bytes = await opened.runtime.vault.open(
        { ...context, host: 'docker.io' },
        row?.sealed_password ?? '',
      )
      assert.equal(Buffer.from(bytes).toString(), OTHER_PASSWORD)
      await assert.rejects(
        opened.runtime.vault.open({ ...context, host: 'evil.example' }, row?.sealed_password ?? ''),
      )
    })

    test('another host takes the stored password away, unless one is given with it', async () => {
      const params = await project()
      const body = { provider: 'custom', host: 'one.example', username: 'alice', password: PASSWORD } as const
      const { id } = await opened.client.call('registries.create', { params, body })
      const target = { ...params, registry: id }
      const moved = await opened.client.call('registries.update', {
        params: target,
        body: { host: 'two.example' },
      })
      assert.deepEqual([moved.host, moved.hasPassword, moved.username], ['two.example', false, null])
      assert.match(moved.notice ?? '', /belonged to one\.example and was removed/)
      const given = await opened.client.call('registries.update', {
        params: target,
        body: { host: 'three.example', username: 'bob', password: OTHER_PASSWORD },
      })
      assert.deepEqual([given.hasPassword, given.notice], [true, null])
      const renamed = await opened.client.call('registries.update', {
        params: target,
        body: { name: 'Three' },
      })
      assert.deepEqual([renamed.hasPassword, renamed.username, renamed.name], [true, 'bob', 'Three'])
      await assert.rejects(
        opened.client.call('registries.update', { params: target, body: { username: 'carol' } }),
        fails('validation_failed', 'body.password'),
      )
      const dropped = await opened.client.call('registries.update', {
        params: target,
        body: { username: null, password: null },
      })
      assert.deepEqual([dropped.hasPassword, dropped.notice], [false, null])
      const back = await opened.client.call('registries.update', {
        params: target,
        body: { host: 'one.example' },
      })
      assert.deepEqual([back.hasPassword, back.notice], [false, null])
    })

    test('of changes at the same time no password ends at a host that it was not given for', async () => {
      const params = await project()
      const body = { provider: 'custom', host: 'h0.example' } as const
      const { id } = await opened.client.call('registries.create', { params, body })
      const changes = Array.from({ length: 12 }, (_, i) => ({
        host: `h${i % 3}.example`,
        ...(i % 2 === 0 ? { username: `for-h${i % 3}`, password: `password-for-h${i % 3}` } : {}),
      }))
      const outcomes = await Promise.allSettled(
        changes.map((change) =>
          opened.client.call('registries.update', { params: { ...params, registry: id }, body: change }),
        ),
      )
      assert.ok(outcomes.some(({ status }) => status === 'fulfilled'))
      const row = await opened.runtime.db.reader
        .selectFrom('registry')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
      if (row.sealed_password === null) return
      const place = { projectId: row.project_id, record: `registry/${id}`, field: 'password', host: row.host }
      const opens = await opened.runtime.vault.open(place, row.sealed_password)
      assert.equal(Buffer.from(opens).toString(), `password-for-${row.host.replace('.example', '')}`)
    })

    test('a slug is one registry’s, and no repository’s', async () => {
      const params = await project()
      const { id } = await opened.client.call('projects.show', { params })
      const body = { provider: 'custom', host: 'one.example', slug: 'mirror' } as const
      await opened.client.call('registries.create', { params, body })
      await assert.rejects(
        opened.client.call('registries.create', { params, body: { ...body, host: 'two.example' } }),
        fails('slug_taken'),
      )
      const push = (path: string) => pushImage({ region: opened.far.control, projectId: id, path })
      for (const path of ['web/api', 'tools', 'webby', 'copies/library/alpine']) await push(path)
      await opened.tamper(
        'far',
        "update repository set cached_from = 'x' where path = 'copies/library/alpine'",
      )
      await opened.client.call('registries.create', { params, body: { ...body, slug: 'copies' } })
      for (const slug of ['web', 'tools']) {
        await assert.rejects(
          opened.client.call('registries.create', { params, body: { ...body, slug } }),
          fails('slug_taken'),
        )
      }
      const free = await opened.client.call('registries.create', { params, body: { ...body, slug: 'we' } })
      await assert.rejects(
        opened.client.call('registries.update', {
          params: { ...params, registry: free.id },
          body: { slug: 'web' },
        }),
        fails('slug_taken'),
      )
    })

    test('a registry that is deleted is gone with its login', async () => {
      const params = await project()
      const { id } = await opened.client.call('registries.create', { params, body: HUB })
      const target = { ...params, registry: id }
      await assert.rejects(
        opened.client.call('registries.delete', { params: { project: 'third-1', registry: id } }),
        fails('registry_not_found'),
      )
      const deleted = await opened.client.call('registries.delete', { params: target })
      assert.deepEqual([deleted.slug, deleted.propagation.pendingRegions], ['docker-hub', []])
      await assert.rejects(
        opened.client.call('registries.show', { params: target }),
        fails('registry_not_found'),
      )
    })

    test('a deletion that a region could not confirm is no success, and succeeds when repeated', async () => {
      const params = await project()
      const { id } = await opened.client.call('registries.create', { params, body: HUB })
      const waitedFor: number[] = []
      const app = await createConsole({
        ...opened.runtime,
        revocation: {
          async waitUntilApplied(seq) {
            waitedFor.push(seq)
            return { replicas: 1, pendingRegions: ['far'] }
          },
        },
      })
      const request = {
        method: 'DELETE',
        url: `/api/v1/projects/${params.project}/registries/${id}`,
        headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
      } as const
      for (const what of ['at first', 'repeated']) {
        const response = await app.inject(request)
        assert.equal(response.statusCode, 503, what)
        assert.equal(response.json<{ code: string }>().code, 'not_everywhere_yet', what)
        assert.match(response.body, /far/)
      }
      await app.close()
      assert.equal(new Set(waitedFor).size, 1, 'both wait for the deletion')
      const others = { params: { ...(await project()), registry: id } }
      await assert.rejects(opened.client.call('registries.delete', others), fails('registry_not_found'))
      const deleted = await opened.client.call('registries.delete', { params: { ...params, registry: id } })
      assert.deepEqual([deleted.id, deleted.slug, deleted.propagation.pendingRegions], [id, 'docker-hub', []])
      const { items } = await opened.client.call('auditEvents.list', {
        params,
        query: { action: 'registry.delete' },
      })
      assert.equal(items.length, 1)
    })

    test('each change is published to the regions', async () => {
      const params = await project()
      const published = async () =>
        opened.runtime.db.reader
          .selectFrom('access_change')
          .select(['seq', 'entity_id'])
          .where('kind', '=', 'registry')
          .orderBy('seq')
          .execute()
      const { id } = await opened.client.call('registries.create', { params, body: HUB })
      const target = { ...params, registry: id }
      await opened.client.call('registries.update', { params: target, body: { name: 'Hub' } })
      await opened.client.call('registries.delete', { params: target })
      assert.equal((await published()).filter((change) => change.entity_id === id).length, 3)
    })

    test('a managed registry is no third-party one', async () => {
      const params = await project()
      const { items } = await opened.client.call('registries.list', { params })
      const target = { ...params, registry: items[0]?.id ?? '' }
      const update = { params: target, body: { host: 'evil.example' } }
      await assert.rejects(opened.client.call('registries.update', update), fails('registry_kind'))
      await assert.rejects(
        opened.client.call('registries.delete', { params: target }),
        fails('registry_kind'),
      )
      await assert.rejects(
        opened.client.call('registries.test', { params: target, body: {} }),
        fails('registry_kind'),
      )
    })

    test('a test of a host that the guard refuses says so, and is an event', async () => {
      const params = await project()
      const body = {
        provider: 'custom',
        host: '10.255.255.1',
        username: 'alice',
        password: PASSWORD,
      } as const
      const { id } = await opened.client.call('registries.create', { params, body })
      const tested = await opened.client.call('registries.test', {
        params: { ...params, registry: id },
        body: {},
      })
      assert.equal(tested.ok, false)
      assert.equal(tested.reason, 'refused_address')
      assert.ok((tested.nextStep ?? '').length > 0)
      const { items } = await opened.client.call('auditEvents.list', {
        params,
        query: { action: 'registry.test' },
      })
      assert.deepEqual(items[0]?.detail, { ok: false, reason: 'refused_address' })
    })
  })
}
