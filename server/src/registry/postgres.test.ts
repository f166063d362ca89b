// @needs postgres, docker-registry, htpasswd
import { after } from 'node:test'
import { startPostgres } from '../../../test/support/servers/postgres.ts'
import { openPostgresDatabase } from '../metastore/postgres/database.ts'
import { createPostgresSessionStore } from '../metastore/postgres/session-store.ts'
import { useDatabases } from './test-region.ts'

/* Every end-to-end test of the data plane again, on PostgreSQL: each region in a database of its own. */

const server = await startPostgres({ shared: true })
after(() => server.stop())

const urls = new Map<string, string>()

useDatabases(async (folder) => {
  const url = urls.get(folder) ?? (await server.createDatabase())
  urls.set(folder, url)
  const options = { url, schema: 'berth_region_local', poolSize: 8, allowUnsafeDurability: true }
  const db = await openPostgresDatabase('region', options)
  return { db, sessions: createPostgresSessionStore(db), close: () => db.close() }
})

await import('./access.test.ts')
await import('./blobs.test.ts')
await import('./housekeeping.test.ts')
await import('./lists.test.ts')
await import('./manifests.test.ts')
await import('./pull-through/eviction.test.ts')
await import('./pull-through/late-push.test.ts')
await import('./pull-through/pull-through.test.ts')
await import('./refusals.test.ts')
await import('./uploads.test.ts')
