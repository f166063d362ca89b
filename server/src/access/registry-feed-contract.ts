import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { TestStack } from '../../../test/support/access/stack.ts'
import type { Database } from '../metastore/database.ts'
import { initializeInstallation } from '../metastore/queries/installation.ts'
import { insertProjectKey } from '../metastore/queries/project-key.ts'
import {
  createRegistry,
  deleteRegistry,
  type StoredLogin,
  updateRegistry,
} from '../metastore/queries/registry-commands.ts'
import { replaceWrappedKeys } from '../metastore/queries/rekey.ts'
import type { AccessRegistryRow, RegionSchema } from '../metastore/region-schema.ts'
import type { ConnectedRegistry } from './connected-registry.ts'

const ROOT_ID = '0123456789abcdef'

/** Connected registries on their way to a region: the same on each kind of database. */
export function describeRegistryFeed(name: string, open: () => Promise<TestStack>): void {
  describe(`the feed of connected registries on ${name}`, () => {
    let stack: TestStack
    let db: Database<RegionSchema>
    let projects = 0
    const origin = () => ({ actor: 'operator', requestId: 'test', nowMs: Date.now() })

    before(async () => {
      stack = await open()
      db = await stack.openRegion()
      await stack.control.run(initializeInstallation, { facts: { root_key_id: ROOT_ID } })
    })
    after(() => stack.close())

    async function project(): Promise<string> {
      projects += 1
      return stack.createProject(`feeds-${projects}`)
    }

    /** A sealed text of the right form; what is in it plays no part here. */
    function sealed(): string {
      return `s1.1.${randomBytes(60).toString('base64url')}.${randomBytes(60).toString('base64url')}`
    }

    async function giveKey(projectId: string): Promise<string> {
      const wrapped = randomBytes(60).toString('base64url')
      const key = { projectId, version: 1, rootId: ROOT_ID, wrapped }
      assert.equal(await stack.control.run(insertProjectKey, { key, nowMs: Date.now() }), 'inserted')
      return wrapped
    }

    async function connect(projectId: string, id: string, login: StoredLogin | null): Promise<void> {
      const registry = {
        id,
        projectId,
        provider: 'custom',
        name: 'Far',
        slug: 'far',
        host: 'far.example',
        exchange: null,
        login,
      } as const
      const created = await stack.control.run(createRegistry, {
        registry,
        maxRegistries: 10,
        origin: origin(),
      })
      assert.ok(created.ok, JSON.stringify(created))
      await stack.settle(db, created.seq)
    }

    function rows(projectId: string): Promise<AccessRegistryRow[]> {
      return db.reader.selectFrom('access_registry').selectAll().where('project_id', '=', projectId).execute()
    }

    async function ownerOf(projectId: string, path: string): Promise<ConnectedRegistry | string> {
      const access = stack.openAccess(db)
      const found = await access.project(projectId as Parameters<typeof access.project>[0])
      const owner = found?.ownerOf(path)
      return owner?.kind === 'connected' ? owner.registry : (owner?.kind ?? 'no project')
    }

    it('brings the sealed login with the wrapped key of its project', async () => {
      const projectId = await project()
      const wrapped = await giveKey(projectId)
      const login = { username: 'alice', sealed: sealed() }
      await connect(projectId, `r${projects}`, login)
      const [row] = await rows(projectId)
      assert.deepEqual(
        [
          row?.slug,
          row?.host,
          row?.username,
          row?.sealed_password,
          row?.key_version,
          row?.key_root_id,
          row?.wrapped_key,
        ],
        ['far', 'far.example', 'alice', login.sealed, 1, ROOT_ID, wrapped],
      )
      const owner = await ownerOf(projectId, 'far/team/app')
      assert.ok(typeof owner !== 'string')
      assert.deepEqual(owner.login, { ...login, key: { version: 1, rootId: ROOT_ID, wrapped } })
      assert.equal(await ownerOf(projectId, 'near/team/app'), 'own')
      assert.equal(
        await ownerOf(projectId, 'far'),
        'own',
        'the slug alone names nothing of the other registry',
      )
    })

    it('replaces a secret and its key, and leaves nothing of the old ones', async () => {
      const projectId = await project()
      const before = await giveKey(projectId)
      const id = `r${projects}`
      const old = sealed()
      await connect(projectId, id, { username: 'alice', sealed: old })
      const login = { username: 'bob', sealed: sealed() }
      const changed = await stack.control.run(updateRegistry, {
        projectId,
        id,
        expectedHost: 'far.example',
        change: { login },
        origin: origin(),
      })
      assert.ok(changed.ok)
      await stack.settle(db, changed.seq)
      const after = {
        projectId,
        version: 1,
        rootId: 'fedcba9876543210',
        wrapped: randomBytes(60).toString('base64url'),
      }
      await stack.control.run(replaceWrappedKeys, { keys: [{ before, after }], nowMs: Date.now() })
      await stack.settle(db)
      const text = JSON.stringify(await rows(projectId))
      assert.ok(text.includes(login.sealed) && text.includes(after.wrapped) && text.includes(after.rootId))
      assert.ok(!text.includes(old) && !text.includes(before))
    })

    it('a registry that is deleted is forgotten when the deletion is in force, and its slug is kept from pushes', async () => {
      const projectId = await project()
      await giveKey(projectId)
      const id = `r${projects}`
      await connect(projectId, id, { username: 'alice', sealed: sealed() })
      const access = stack.openAccess(db)
      const of = async () =>
        (await access.project(projectId as Parameters<typeof access.project>[0]))?.ownerOf('far/a/b').kind
      await access.refresh()
      assert.equal(await of(), 'connected')
      const deleted = await stack.control.run(deleteRegistry, { projectId, id, origin: origin() })
      assert.ok(deleted.ok)
      await stack.settle(db, deleted.seq)
      assert.equal(await of(), 'retired')
      assert.deepEqual(await rows(projectId), [])
    })

    it('a deleted project leaves no registry and no key of it in the region', async () => {
      const projectId = await project()
      await giveKey(projectId)
      await connect(projectId, `r${projects}`, { username: 'alice', sealed: sealed() })
      await stack.settle(db, await stack.deleteProject(projectId))
      assert.deepEqual(await rows(projectId), [])
    })

    it('another host is another cache, and the region says so', async () => {
      const projectId = await project()
      const id = `r${projects}`
      await connect(projectId, id, null)
      const change = { host: 'other.example' }
      const changed = await stack.control.run(updateRegistry, {
        projectId,
        id,
        expectedHost: 'far.example',
        change,
        origin: origin(),
      })
      assert.ok(changed.ok)
      await stack.settle(db, changed.seq)
      const retired = await db.reader
        .selectFrom('retired_slug')
        .select('slug')
        .where('project_id', '=', projectId)
        .execute()
      assert.deepEqual(retired, [{ slug: 'far' }])
      const owner = await ownerOf(projectId, 'far/a')
      assert.ok(typeof owner !== 'string')
      assert.equal(owner.host, 'other.example')
    })
  })
}
