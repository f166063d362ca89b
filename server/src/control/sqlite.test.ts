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
import { openTestConsole } from '../../../test/support/console/stack.ts'

describeProjects('SQLite', openTestConsole)
describeApiKeys('SQLite', openTestConsole)
describeMembers('SQLite', openTestConsole)
describeInvitations('SQLite', openTestConsole)
describeNamespaces('SQLite', openTestConsole)
describeContent('SQLite', openTestConsole)
describeHousekeeping('SQLite', openTestConsole)
describeTrustRules('SQLite', openTestConsole)
describeAudit('SQLite', openTestConsole)
describeRegistries('SQLite', openTestConsole)
describeRegistryCredentials('SQLite', openTestConsole)
describeRekey('SQLite', openTestConsole)
describeWebhooks('SQLite', openTestConsole)
describeRefusals('SQLite', openTestConsole)
