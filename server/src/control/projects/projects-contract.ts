import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { createConsole } from '../console.ts'
import { OPERATOR_TOKEN, type TestConsole } from '../../../../test/support/console/stack.ts'
import { pushImage } from '../../../../test/support/console/content.ts'

/** Projects, through the console: the same on every metadata database. */
export function describeProjects(name: string, open: () => Promise<TestConsole>): void {
  describe(`projects on ${name}`, () => {
    let opened: TestConsole

    before(async () => {
      opened = await open()
    })
    after(() => opened.close())

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code)
        return true
      }
    }

    async function createProject(namespace: string) {
      return opened.client.call('projects.create', { body: { name: namespace, namespace } })
    }

    test('a project is created with its defaults, and known to the regions when the call returns', async () => {
      const project = await opened.client.call('projects.create', { body: { name: '  My  Café  App ' } })
      OPERATIONS['projects.create'].response.parse(project)
      assert.equal(project.namespace, 'my-cafe-app')
      assert.equal(project.name, 'My  Café  App')
      assert.equal(project.quotaBytes, null)
      assert.deepEqual(project.publicRepositories, [])
      assert.equal(project.allowSparseIndexes, false)
      for (const region of [opened.near, opened.far]) {
        assert.equal((await region.access.projectByNamespace('my-cafe-app'))?.id, project.id)
      }
    })

    test('the host without a region is shown with each project, and is null when there is none', async () => {
      const { registryHost } = await createProject('with-host')
      assert.equal(registryHost, 'registry.example')
      const params = { project: 'with-host' }
      assert.equal((await opened.client.call('projects.show', { params })).registryHost, 'registry.example')
      assert.equal((await opened.client.call('whoami', {})).installation.registryHost, 'registry.example')
      const app = await createConsole({ ...opened.runtime, sharedHost: null })
      const headers = { authorization: `Bearer ${OPERATOR_TOKEN}` }
      const shown = await app.inject({ url: '/api/v1/projects/with-host', headers })
      assert.equal(OPERATIONS['projects.show'].response.parse(shown.json()).registryHost, null)
      const whoami = await app.inject({ url: '/api/v1/whoami', headers })
      assert.equal(OPERATIONS['whoami'].response.parse(whoami.json()).installation.registryHost, null)
      await app.close()
    })

    test('a namespace that is taken is refused when asked for, and numbered when made from the name', async () => {
      await createProject('taken')
      await assert.rejects(createProject('taken'), fails('namespace_taken'))
      const second = await opened.client.call('projects.create', { body: { name: 'Taken!' } })
      assert.equal(second.namespace, 'taken-2')
    })

    test('of many projects with one namespace at the same time exactly one is created', async () => {
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => createProject('race')))
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    })

    test("no namespace can be another project's id, because paths take either", async () => {
      const { id } = await createProject('first-of-two')
      await assert.rejects(createProject(id), fails('namespace_taken'))
    })

    test('a project is found by id and by namespace', async () => {
      const { id } = await createProject('findable')
      for (const project of [id, 'findable']) {
        assert.equal((await opened.client.call('projects.show', { params: { project } })).id, id)
      }
    })

    test('a change touches only what is sent, and the rules reach the regions', async () => {
      await opened.client.call('projects.create', {
        body: { name: 'Rules', namespace: 'rules', quotaBytes: 1000, allowSparseIndexes: true },
      })
      const params = { project: 'rules' }
      const body = { publicRepositories: ['open/**'] }
      const changed = await opened.client.call('projects.update', { params, body })
      assert.equal(changed.quotaBytes, 1000)
      assert.equal(changed.allowSparseIndexes, true)
      const known = await opened.near.access.projectByNamespace('rules')
      assert.equal(known?.isPublic('open/web'), true)
      assert.equal(known?.isPublic('web'), false)
      assert.equal(known?.quotaBytes, 1000)
      const without = await opened.client.call('projects.update', { params, body: { quotaBytes: null } })
      assert.equal(without.quotaBytes, null)
      await assert.rejects(
        opened.client.call('projects.update', { params, body: {} }),
        fails('validation_failed'),
      )
    })

    test('projects are paged by namespace, each exactly once', async () => {
      for (const namespace of ['page-c', 'page-a', 'page-b', 'page-d', 'page-e'])
        await createProject(namespace)
      const seen: string[] = []
      let cursor: string | null = null
      do {
        const query: { limit: number; cursor?: string } = { limit: 2, ...(cursor === null ? {} : { cursor }) }
        const page = await opened.client.call('projects.list', { query })
        assert.ok(page.items.length <= 2)
        seen.push(...page.items.map(({ namespace }) => namespace))
        cursor = page.nextCursor
      } while (cursor !== null)
      assert.deepEqual(seen, [...new Set(seen)].sort())
      assert.deepEqual(
        seen.filter((namespace) => namespace.startsWith('page-')),
        ['page-a', 'page-b', 'page-c', 'page-d', 'page-e'],
      )
    })

    test('a project has a managed registry in each region', async () => {
      await createProject('with-registries')
      const params = { project: 'with-registries' }
      const { items } = await opened.client.call('registries.list', { params })
      assert.deepEqual(
        items.map(({ name, host, address, provider }) => ({ name, host, address, provider })).sort(byName),
        [
          {
            name: 'Berth Registry (Far Away)',
            host: 'far.example',
            address: 'far.example/with-registries',
            provider: 'managed',
          },
          {
            name: 'Berth Registry (Near)',
            host: 'near.example:5000',
            address: 'near.example:5000/with-registries',
            provider: 'managed',
          },
        ],
      )
      const regions = await opened.client.call('regions.list', {})
      assert.deepEqual(
        regions.items.map(({ id }) => id),
        ['near', 'far'],
      )
    })

    function byName(a: { name: string }, b: { name: string }): number {
      return a.name < b.name ? -1 : 1
    }

    test('a deletion must name the namespace; then nothing is served and the data is queued for removal', async () => {
      const { id } = await createProject('doomed')
      await pushImage({ region: opened.near.control, projectId: id, path: 'web' }, { tags: ['latest'] })
      const params = { project: id }
      for (const query of [{}, { confirm: id }, { confirm: 'doome' }]) {
        await assert.rejects(
          opened.client.call('projects.delete', { params, query }),
          fails('confirmation_required'),
        )
      }
      const deleted = await opened.client.call('projects.delete', { params, query: { confirm: 'doomed' } })
      OPERATIONS['projects.delete'].response.parse(deleted)
      assert.deepEqual(deleted.propagation.pendingRegions, [])
      assert.equal(deleted.propagation.replicas, 2)
      assert.equal(await opened.near.access.projectByNamespace('doomed'), null)
      for (const project of [id, 'doomed']) {
        await assert.rejects(
          opened.client.call('projects.show', { params: { project } }),
          fails('project_not_found'),
        )
      }
      const queued = await opened.near.control.db.reader
        .selectFrom('gc_task')
        .select('kind')
        .where('project_id', '=', id)
        .where('kind', '=', 'project')
        .execute()
      assert.equal(queued.length, 1)
      await assert.rejects(createProject('doomed'), fails('namespace_taken'))
    })

    test('each change has one audit event, with the request that made it', async () => {
      const { id } = await createProject('audited')
      const params = { project: id }
      await opened.client.call('projects.update', { params, body: { name: 'Audited' } })
      await opened.client.call('projects.update', { params, body: { quotaBytes: 5 } })
      const { items } = await opened.client.call('auditEvents.list', { params })
      assert.deepEqual(
        items.map(({ action, target, actor, source }) => ({ action, target, actor, source })),
        ['project.update', 'project.update', 'project.create'].map((action) => ({
          action,
          target: 'audited',
          actor: 'operator',
          source: 'control',
        })),
      )
      assert.equal(new Set(items.map(({ requestId }) => requestId)).size, 3)
      assert.deepEqual(items[0]?.detail, { quotaBytes: 5 })
    })

    test('a change that is refused leaves no audit event', async () => {
      const count = async () => {
        const page = await opened.client.call('auditEvents.listAll', {
          query: { source: 'control', limit: 500 },
        })
        return page.items.length
      }
      await createProject('quiet')
      const before = await count()
      await assert.rejects(createProject('quiet'), fails('namespace_taken'))
      const params = { project: 'quiet' }
      await assert.rejects(opened.client.call('projects.delete', { params }), fails('confirmation_required'))
      await assert.rejects(opened.client.call('projects.update', { params, body: { name: '' } }))
      assert.equal(await count(), before)
    })
  })
}
