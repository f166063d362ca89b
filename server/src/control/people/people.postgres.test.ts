// @needs postgres
import { after, before } from 'node:test'
import { openPostgresTestConsole } from '../../../../test/support/console/stack.ts'
import { type Postgres, startPostgres } from '../../../../test/support/servers/postgres.ts'
import { describeAccount } from './account-contract.ts'
import { describeSignIn } from './sign-in-contract.ts'
import { describeUpkeep } from './upkeep-contract.ts'

let server: Postgres

before(async () => {
  server = await startPostgres({ shared: true })
})
after(() => server.stop())

const open = async () => openPostgresTestConsole(await server.createDatabase())

describeSignIn('PostgreSQL', open)
describeAccount('PostgreSQL', open)
describeUpkeep('PostgreSQL', open)
