// @needs postgres
import { after, before } from 'node:test'
import { type Postgres, startPostgres } from '../../../test/support/servers/postgres.ts'
import { describeApiKeys } from './api-keys/api-keys-contract.ts'
import { describeRefusals } from './refusals/refusals-contract.ts'
import { describeWebhooks } from './webhooks/webhooks-contract.ts'
import { describeAudit } from './audit-events/audit-contract.ts'
import { describeContent } from './content-contract.ts'
import { describeHousekeeping } from './housekeeping-contract.ts'
import { describeInvitations } from './invitations/invitations-contract.ts'
import { describeMembers } from './members/members-contract.ts'
import { describeNamespaces } from './namespaces/namespaces-contract.ts'
import { describeProjects } from './projects/projects-contract.ts'
import { describeRegistryCredentials } from './registries/credentials-contract.ts'
import { describeRegistries } from './registries/registries-contract.ts'
import { describeTrustRules } from './trust-rules/trust-rules-contract.ts'
import { describeRekey } from './vault/rekey-contract.ts'
import { openPostgresTestConsole } from '../../../test/support/console/stack.ts'

let server: Postgres

before(async () => {
  server = await startPostgres({ shared: true })
})
after(() => server.stop())

const open = async () => openPostgresTestConsole(await server.createDatabase())

describeProjects('PostgreSQL', open)
describeApiKeys('PostgreSQL', open)
describeMembers('PostgreSQL', open)
describeInvitations('PostgreSQL', open)
describeNamespaces('PostgreSQL', open)
describeContent('PostgreSQL', open)
describeHousekeeping('PostgreSQL', open)
describeTrustRules('PostgreSQL', open)
describeAudit('PostgreSQL', open)
describeRegistries('PostgreSQL', open)
describeRegistryCredentials('PostgreSQL', open)
describeRekey('PostgreSQL', open)
describeWebhooks('PostgreSQL', open)
describeRefusals('PostgreSQL', open)
