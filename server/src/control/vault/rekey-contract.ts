import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, beforeEach, describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { ApiError } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import type { VaultRekeyed } from '@berth/api/vault'
import type { TestConsole } from '../../../../test/support/console/stack.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import { projectKeyStore } from '../../metastore/queries/project-key.ts'
import { replaceSealed } from '../../metastore/queries/rekey.ts'
import type { RootKey } from '../../vault/root-key.ts'
import { nameRootKey, type RootKeys } from '../../vault/root-keys.ts'
import { createVault } from '../../vault/vault.ts'
import type { ControlRuntime } from '../runtime.ts'
import { updateRegistry } from '../registries/service.ts'
import { rekey } from './rekey.ts'
import { vaultStatus } from './status.ts'

const PROJECTS = 4

/** A change of keys under reads and writes: the same on every metadata database. */
export function describeRekey(name: string, open: () => Promise<TestConsole>): void {
  describe(`re-keying on ${name}`, () => {
    let opened: TestConsole
    /** Password by project and registry. */
    let stored: Map<string, { readonly project: string; readonly registry: string; password: string }>

    beforeEach(async () => {
      await opened?.close()
      opened = await open()
      stored = new Map()
      for (let i = 0; i < PROJECTS; i++) {
        const project = `rekey-${i}`
        await opened.client.call('projects.create', { body: { name: project, namespace: project } })
        for (const slug of ['one', 'two']) await addRegistry(project, slug)
      }
    })
    after(() => opened.close())

    async function addRegistry(project: string, slug: string): Promise<void> {
      const password = randomBytes(12).toString('hex')
      const body = { provider: 'custom', host: 'a.example', slug, username: 'alice', password } as const
      const { id } = await opened.client.call('registries.create', { params: { project }, body })
      stored.set(id, { project, registry: id, password })
    }

    function origin(): ChangeOrigin {
      return { actor: 'test', requestId: 'test', nowMs: opened.runtime.clock.nowMs() }
    }

    /** The same console in a process that was given these root keys. */
    function given(rootKeys: RootKeys): ControlRuntime {
      const vault = createVault({ roots: rootKeys, keys: projectKeyStore(opened.runtime.db) })
      return { ...opened.runtime, rootKeys, vault }
    }

    function newRootKey() {
      return nameRootKey(new Uint8Array(randomBytes(32)) as RootKey)
    }

    async function expectReadable(runtime: ControlRuntime, context?: string): Promise<void> {
      for (const [id, { password }] of stored) {
        const row = await runtime.db.reader
          .selectFrom('registry')
          .selectAll()
          .where('id', '=', id)
          .executeTakeFirstOrThrow()
        const place = {
          projectId: row.project_id,
          record: `registry/${id}`,
          field: 'password',
          host: row.host,
        }
        const bytes = await runtime.vault.open(place, row.sealed_password ?? '')
        assert.equal(Buffer.from(bytes).toString(), password, context)
      }
    }

    async function finish(runtime: ControlRuntime, projectKeys = true): Promise<VaultRekeyed> {
      for (let step = 0; step < 100; step++) {
        const answer = await rekey(runtime, { projectKeys }, origin, new AbortController().signal)
        if (answer.done) return answer
      }
      throw new Error('the re-keying does not end')
    }

    function keys() {
      return opened.runtime.db.reader
        .selectFrom('project_key')
        .select(['project_id', 'version', 'root_id', 'wrapped'])
        .orderBy('project_id')
        .execute()
    }

    test('each project gets a new key, each secret is sealed anew, and nothing of the old ones stays', async () => {
      const keysBefore = await keys()
      const sealedBefore = await sealedTexts()
      const answer = await opened.client.call('vault.rekey', {})
      OPERATIONS['vault.rekey'].response.parse(answer)
      const done = answer.done ? answer : await finish(opened.runtime)
      assert.deepEqual([done.unreadable, done.pendingRegions, done.projectKeys.remaining], [[], [], 0])
      assert.equal(done.projectKeys.startedAt, null)
      const after = await keys()
      assert.deepEqual(
        after.map(({ version }) => version),
        Array(PROJECTS).fill(2),
      )
      const old = new Set([...keysBefore.map(({ wrapped }) => wrapped), ...sealedBefore])
      assert.ok(
        [...after.map(({ wrapped }) => wrapped), ...(await sealedTexts())].every((text) => !old.has(text)),
      )
      await expectReadable(opened.runtime)
    })

    async function sealedTexts(): Promise<string[]> {
      const rows = await opened.runtime.db.reader.selectFrom('registry').select('sealed_password').execute()
      return rows.flatMap((row) => (row.sealed_password === null ? [] : [row.sealed_password]))
    }

    test('a new root key is taken, and the one before is not needed any more', async () => {
      const { rootKeys: before } = opened.runtime
      const next = newRootKey()
      const both = given({ current: next, previous: before.current })
      await expectReadable(both)
      assert.equal((await vaultStatus(both)).rootKey.canForgetPrevious, false)
      const answer = await finish(both, false)
      assert.deepEqual(answer.rootKey, {
        active: next.id,
        configured: next.id,
        previousConfigured: true,
        projectKeysOfOthers: 0,
        canForgetPrevious: true,
      })
      assert.ok((await keys()).every((key) => key.root_id === next.id && key.version === 1))
      await expectReadable(given({ current: next, previous: null }))
      await assert.rejects(expectReadable(given(before)), /was not given/)
      await assert.rejects(finish(given(before)), (error) => {
        assert.ok(error instanceof ApiError)
        assert.equal(error.code, 'root_key_missing')
        return true
      })
      // A project's first secret after the change is under the new root key, even where the old one comes first.
      await opened.client.call('projects.create', { body: { name: 'late', namespace: 'late' } })
      const { id } = await opened.client.call('projects.show', { params: { project: 'late' } })
      const late = given({ current: before.current, previous: next })
      await late.vault.seal({ projectId: id, record: 'x/1', field: 'y', host: 'z' }, 'secret')
      assert.equal((await keys()).find((key) => key.project_id === id)?.root_id, next.id)
    })

    test('it can stop after any step and goes on where it stood', async () => {
      const next = newRootKey()
      const runtime = given({ current: next, previous: opened.runtime.rootKeys.current })
      let commands = 0
      for (let stopAfter = 1; stopAfter < 500; stopAfter++) {
        let left = stopAfter
        const dying = {
          ...runtime,
          db: new Proxy(runtime.db, {
            get(target, property) {
              if (property !== 'run') {
                const value: unknown = Reflect.get(target, property, target)
                return typeof value === 'function' ? value.bind(target) : value
              }
              return (...args: Parameters<ControlRuntime['db']['run']>) => {
                left -= 1
                if (left < 0) throw new Error('killed')
                commands += 1
                return target.run(...args)
              }
            },
          }),
        }
        // Every attempt dies a little later: all states between two commands are met.
        const outcome = await finish(dying).catch((error: unknown) => {
          assert.match(String(error), /killed/)
          return null
        })
        await expectReadable(runtime, `after ${stopAfter}`)
        if (outcome !== null) {
          assert.ok(stopAfter > 3, 'it was stopped at least some times')
          break
        }
      }
      const { rootKey, projectKeys } = await finish(runtime, false)
      assert.deepEqual([rootKey.canForgetPrevious, projectKeys.startedAt], [true, null])
      assert.ok(commands > PROJECTS * 3, `${commands} commands`)
      const after = await keys()
      assert.ok(after.every(({ root_id: root, version }) => root === next.id && version === 2))
      await expectReadable(given({ current: next, previous: null }))
    })

    test('secrets are read and written meanwhile', async () => {
      const rows = [...stored.values()]
      let over = false
      let writes = 0
      const write = async () => {
        for (let i = 0; !over; i++) {
          const entry = rows[i % rows.length] ?? assert.fail()
          const { id, namespace } = await opened.client.call('projects.show', {
            params: { project: entry.project },
          })
          const project = { id, namespace } as Parameters<typeof updateRegistry>[1]
          const password = randomBytes(12).toString('hex')
          const login = { username: 'alice', password }
          await updateRegistry(opened.runtime, project, entry.registry, login, origin())
          entry.password = password
          writes += 1
        }
      }
      const read = async () => {
        while (!over) {
          for (const id of stored.keys()) await openOnce(id)
          // Reads of SQLite never wait for the event loop, on which everything else here depends.
          await setImmediate()
        }
      }
      const working = Promise.all([write(), read()])
      for (let round = 0; round < 2; round++) await finish(opened.runtime)
      over = true
      await working
      assert.ok(writes > 0)
      await expectReadable(opened.runtime)
      assert.ok((await keys()).every(({ version }) => version === 3))
    })

    /** A row that was read may be sealed anew, and its key be deleted, before it is opened: then it is read again. */
    async function openOnce(id: string): Promise<void> {
      const read = () =>
        opened.runtime.db.reader
          .selectFrom('registry')
          .selectAll()
          .where('id', '=', id)
          .executeTakeFirstOrThrow()
      for (let row = await read(); ; ) {
        const place = {
          projectId: row.project_id,
          record: `registry/${id}`,
          field: 'password',
          host: row.host,
        }
        try {
          await opened.runtime.vault.open(place, row.sealed_password ?? '')
          return
        } catch (error) {
          const again = await read()
          if (again.sealed_password === row.sealed_password) throw error
          row = again
        }
      }
    }

    test('what cannot be opened is named and left, and the rest is done', async () => {
      const [id = ''] = stored.keys()
      await opened.tamper('control', `update registry set host = 'other.example' where id = '${id}'`)
      const { unreadable } = await finish(opened.runtime)
      assert.deepEqual(unreadable, [`registry.sealed_password ${id}`])
      const { project_id: projectId } = await opened.runtime.db.reader
        .selectFrom('registry')
        .select('project_id')
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
      const ofProject = (await keys()).filter((key) => key.project_id === projectId)
      assert.deepEqual(
        ofProject.map(({ version }) => version).toSorted((a, b) => a - b),
        [1, 2],
      )
      stored.delete(id)
      await expectReadable(opened.runtime)
    })

    test('nothing can be stored under a key that is gone', async () => {
      const [id = ''] = stored.keys()
      const row = await opened.runtime.db.reader
        .selectFrom('registry')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
      const place = { projectId: row.project_id, record: `registry/${id}`, field: 'password', host: row.host }
      const early = await opened.runtime.vault.seal(place, 'sealed before')
      await finish(opened.runtime)
      const { outcome } = await opened.runtime.db.run(replaceSealed, {
        column: 'registry.sealed_password',
        projectId: row.project_id,
        id,
        before: row.sealed_password ?? '',
        after: early,
        nowMs: 1,
      })
      assert.equal(outcome, 'key_replaced')
      await expectReadable(opened.runtime)
    })
  })
}
