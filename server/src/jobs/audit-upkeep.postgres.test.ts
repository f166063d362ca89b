// @needs postgres
import { after, before } from 'node:test'
import { openPostgresTestConsole } from '../../../test/support/console/stack.ts'
import { type Postgres, startPostgres } from '../../../test/support/servers/postgres.ts'
import { describeAuditUpkeep } from './audit-upkeep-contract.ts'

let server: Postgres

before(async () => {
  server = await startPostgres({ shared: true })
})
after(() => server.stop())

describeAuditUpkeep('PostgreSQL', async () => openPostgresTestConsole(await server.createDatabase()))
