import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { findCanaries, keyCanaries } from '../../../../test/hostile/canaries.ts'
import type { TestConsole } from '../../../../test/support/console/stack.ts'

/** Credentials of managed registries, through the console: the same on every metadata database. */
export function describeRegistryCredentials(name: string, open: () => Promise<TestConsole>): void {
  describe(`credentials of managed registries on ${name}`, () => {
    let opened: TestConsole
    let projects = 0

    before(async () => {
      opened = await open()
    })
    after(() => opened.close())

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code, error.detail)
        return true
      }
    }

    /** A new project's registry in the region `near`. */
    async function managed(): Promise<{ readonly project: string; readonly registry: string }> {
      projects += 1
      const namespace = `managed-${projects}`
      await opened.client.call('projects.create', { body: { name: namespace, namespace } })
      const { items } = await opened.client.call('registries.list', { params: { project: namespace } })
      return { project: namespace, registry: items.find(({ region }) => region === 'near')?.id ?? '' }
    }

    async function works(password: string, region: 'near' | 'far' = 'near'): Promise<boolean> {
      const authorization = `Basic ${Buffer.from(`api:${password}`).toString('base64')}`
      const answer = await opened[region].access.authenticate({ authorization, clientAddress: '192.0.2.1' })
      if (!answer.ok || answer.principal.kind !== 'key') return false
      const project = await opened[region].access.project(answer.principal.projectId)
      const need = { namespace: project?.namespace ?? '', path: 'web', action: 'push' } as const
      return (await opened[region].access.authorize(answer.principal, need)).outcome === 'allow'
    }

    async function events(project: string, action: string) {
      const { items } = await opened.client.call('auditEvents.list', {
        params: { project },
        query: { action },
      })
      return items
    }

    test('they are made once, when asked for, and work in their region only', async () => {
      const params = await managed()
      const before = await opened.client.call('registries.show', { params })
      assert.deepEqual([before.hasPassword, before.keyId], [false, null])
      await assert.rejects(
        opened.client.call('registries.showCredentials', { params }),
        fails('credentials_not_found'),
      )
      const made = await opened.client.call('registries.generateCredentials', { params })
      OPERATIONS['registries.generateCredentials'].response.parse(made)
      assert.deepEqual([made.host, made.username, made.version], ['near.example:5000', 'api', 1])
      assert.deepEqual(made.login[0]?.command, 'docker login near.example:5000 -u api')
      assert.deepEqual([await works(made.password, 'near'), await works(made.password, 'far')], [true, false])
      await assert.rejects(
        opened.client.call('registries.generateCredentials', { params }),
        fails('credentials_exist'),
      )
      const after = await opened.client.call('registries.show', { params })
      assert.deepEqual([after.hasPassword, after.username, after.keyId], [true, 'api', made.keyId])
    })

    test('of several who ask at once one makes them', async () => {
      const params = await managed()
      const outcomes = await Promise.allSettled(
        Array.from({ length: 6 }, () => opened.client.call('registries.generateCredentials', { params })),
      )
      const made = outcomes.filter((outcome) => outcome.status === 'fulfilled')
      assert.equal(made.length, 1)
      const shown = await opened.client.call('registries.showCredentials', { params })
      assert.equal(shown.password, made[0]?.value.password)
      const keys = await opened.client.call('apiKeys.list', { params: { project: params.project } })
      assert.equal(keys.items.length, 1)
    })

    test('they are shown again, each time with an event, and nowhere else', async () => {
      const params = await managed()
      const made = await opened.client.call('registries.generateCredentials', { params })
      const shown = await opened.client.call('registries.showCredentials', { params })
      assert.deepEqual([shown.password, shown.keyId], [made.password, made.keyId])
      const [event, ...more] = await events(params.project, 'registry_credential.shown')
      assert.deepEqual([event?.target, event?.actor, more.length], [params.registry, 'operator', 0])
      assert.deepEqual(event?.detail, { keyId: made.keyId, version: 1 })

      const canaries = keyCanaries('credential', made.password)
      const texts = [
        JSON.stringify(await opened.client.call('registries.show', { params })),
        JSON.stringify(await opened.client.call('registries.list', { params: { project: params.project } })),
        JSON.stringify(await opened.client.call('apiKeys.list', { params: { project: params.project } })),
        JSON.stringify(await opened.client.call('auditEvents.listAll', { query: { limit: 500 } })),
        JSON.stringify(await opened.runtime.db.reader.selectFrom('registry').selectAll().execute()),
        opened.logged(),
      ]
      assert.deepEqual(
        texts.flatMap((text) => findCanaries(canaries, 'the console', text)),
        [],
      )
    })

    test('a rotation overlaps for as long as asked, and what is shown is the new one', async () => {
      const params = await managed()
      const first = await opened.client.call('registries.generateCredentials', { params })
      const second = await opened.client.call('registries.rotateCredentials', {
        params,
        body: { overlapSeconds: 60 },
      })
      assert.deepEqual([second.version, second.keyId], [2, first.keyId])
      assert.notEqual(second.overlapEndsAt, null)
      assert.deepEqual([await works(first.password), await works(second.password)], [true, true])
      const third = await opened.client.call('registries.rotateCredentials', {
        params,
        body: { overlapSeconds: 0 },
      })
      assert.deepEqual(
        [await works(first.password), await works(second.password), await works(third.password)],
        [false, false, true],
      )
      const shown = await opened.client.call('registries.showCredentials', { params })
      assert.equal(shown.password, third.password)
    })

    test('of rotations at the same time the one that is shown works', async () => {
      const params = await managed()
      await opened.client.call('registries.generateCredentials', { params })
      await Promise.all(
        Array.from({ length: 5 }, () =>
          opened.client.call('registries.rotateCredentials', { params, body: { overlapSeconds: 60 } }),
        ),
      )
      const shown = await opened.client.call('registries.showCredentials', { params })
      assert.equal(shown.version, 6)
      assert.equal(await works(shown.password), true)
    })

    test('a revocation is true when it returns, can be repeated, and new ones can be made', async () => {
      const params = await managed()
      const made = await opened.client.call('registries.generateCredentials', { params })
      assert.equal(await works(made.password), true)
      const revoked = await opened.client.call('registries.revokeCredentials', { params })
      assert.equal(await works(made.password), false)
      assert.deepEqual([revoked.keyId, revoked.propagation.pendingRegions], [made.keyId, []])
      await opened.client.call('registries.revokeCredentials', { params })
      await assert.rejects(
        opened.client.call('registries.showCredentials', { params }),
        fails('credentials_not_found'),
      )
      await assert.rejects(
        opened.client.call('registries.rotateCredentials', { params, body: {} }),
        fails('credentials_not_found'),
      )
      const again = await opened.client.call('registries.generateCredentials', { params })
      assert.notEqual(again.keyId, made.keyId)
      assert.deepEqual([await works(made.password), await works(again.password)], [false, true])
    })

    test('its key is in the list of keys, is rotated at the registry, and can be revoked there too', async () => {
      const params = await managed()
      const { project } = params
      const made = await opened.client.call('registries.generateCredentials', { params })
      const target = { project, key: made.keyId }
      const key = await opened.client.call('apiKeys.show', { params: target })
      assert.deepEqual(
        [key.registry, key.regions, key.actions, key.name],
        [params.registry, ['near'], ['pull', 'push'], 'Berth Registry (Near)'],
      )
      await assert.rejects(
        opened.client.call('apiKeys.rotate', { params: target, body: {} }),
        fails('api_key_of_registry'),
      )
      assert.equal(await works(made.password), true)
      await opened.client.call('apiKeys.revoke', { params: target })
      assert.equal(await works(made.password), false)
      const shown = await opened.client.call('registries.show', { params })
      assert.deepEqual([shown.hasPassword, shown.keyId], [false, null])
      const rows = await opened.runtime.db.reader.selectFrom('registry').selectAll().execute()
      assert.equal(rows.find(({ id }) => id === params.registry)?.sealed_password, null)
    })

    test('a schedule counts from the last rotation', async () => {
      const params = await managed()
      const set = await opened.client.call('registries.update', {
        params,
        body: { rotation: { everyDays: 30, overlapSeconds: 3600 } },
      })
      assert.deepEqual(set.rotation, { everyDays: 30, overlapSeconds: 3600, dueAt: null })
      await opened.client.call('registries.generateCredentials', { params })
      const { rotation, passwordSetAt } = await opened.client.call('registries.show', { params })
      assert.equal(Date.parse(rotation?.dueAt ?? '') - Date.parse(passwordSetAt ?? ''), 30 * 86_400_000)
      const off = await opened.client.call('registries.update', { params, body: { rotation: null } })
      assert.equal(off.rotation, null)
      await assert.rejects(
        opened.client.call('registries.update', {
          params,
          body: { rotation: { everyDays: 1, overlapSeconds: 86_401 } },
        }),
        fails('validation_failed'),
      )
    })

    test("another project's registry does not exist, and a third-party one has no such credentials", async () => {
      const params = await managed()
      const other = await managed()
      const wrong = { project: other.project, registry: params.registry }
      for (const operation of [
        'registries.show',
        'registries.generateCredentials',
        'registries.showCredentials',
        'registries.revokeCredentials',
      ] as const) {
        await assert.rejects(opened.client.call(operation, { params: wrong }), fails('registry_not_found'))
      }
      const hub = await opened.client.call('registries.create', {
        params: { project: params.project },
        body: { provider: 'docker_hub' },
      })
      const third = { project: params.project, registry: hub.id }
      for (const operation of ['registries.generateCredentials', 'registries.showCredentials'] as const) {
        await assert.rejects(opened.client.call(operation, { params: third }), fails('registry_kind'))
      }
    })

    test('a deleted project leaves no key and no secret, and a copy from before cannot be opened', async () => {
      const params = await managed()
      const { project } = params
      const made = await opened.client.call('registries.generateCredentials', { params })
      const { id } = await opened.client.call('projects.show', { params: { project } })
      const rows = await opened.runtime.db.reader.selectFrom('registry').selectAll().execute()
      const copy = rows.find((row) => row.id === params.registry)?.sealed_password ?? ''
      const context = {
        projectId: id,
        record: `registry/${params.registry}`,
        field: 'password',
        host: 'region:near',
      }
      const before = await opened.runtime.vault.open(context, copy)
      assert.equal(Buffer.from(before).toString(), made.password)
      await opened.client.call('projects.delete', { params: { project }, query: { confirm: project } })
      assert.equal(await works(made.password), false)
      await assert.rejects(opened.runtime.vault.open(context, copy), /destroyed/)
      const keys = await opened.runtime.db.reader.selectFrom('project_key').selectAll().execute()
      assert.ok(keys.every((key) => key.project_id !== id))
      await assert.rejects(opened.runtime.vault.seal(context, 'too late'), /no such project/)
    })
  })
}
