// @needs postgres
import { after, before } from 'node:test'
import { openPostgresStack } from '../../../test/support/access/stack.ts'
import { type Postgres, startPostgres } from '../../../test/support/servers/postgres.ts'
import { describeRegistryFeed } from './registry-feed-contract.ts'

let server: Postgres

before(async () => {
  server = await startPostgres({ shared: true })
})
after(() => server.stop())

describeRegistryFeed('PostgreSQL', async () => openPostgresStack(await server.createDatabase()))
