// @needs postgres
import { after, before } from 'node:test'
import { type Postgres, startPostgres } from '../../../test/support/servers/postgres.ts'
import { describeApiKeys } from './api-keys/api-keys-contract.ts'
import { describeContent } from './content-contract.ts'
import { describeProjects } from './projects/projects-contract.ts'
import { openPostgresTestConsole } from '../../../test/support/console/stack.ts'

let server: Postgres

before(async () => {
  server = await startPostgres({ shared: true })
})
after(() => server.stop())

const open = async () => openPostgresTestConsole(await server.createDatabase())

describeProjects('PostgreSQL', open)
describeApiKeys('PostgreSQL', open)
describeContent('PostgreSQL', open)
