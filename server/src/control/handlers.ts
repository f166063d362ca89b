import { apiKeyHandlers } from './api-keys/routes.ts'
import { auditEventHandlers } from './audit-events/routes.ts'
import { gcHandlers } from './gc/routes.ts'
import type { Handlers } from './handler.ts'
import { manifestHandlers } from './manifests/routes.ts'
import { memberHandlers } from './members/routes.ts'
import { invitationHandlers } from './invitations/routes.ts'
import { namespaceHandlers } from './namespaces/routes.ts'
import { personHandlers } from './people/routes.ts'
import { personalTokenHandlers } from './personal-tokens/routes.ts'
import { policyHandlers } from './policies/routes.ts'
import { projectHandlers } from './projects/routes.ts'
import { refusalHandlers } from './refusals/routes.ts'
import { regionHandlers } from './regions/routes.ts'
import { registryBrowseHandlers } from './registries/browse-routes.ts'
import { registryHandlers } from './registries/routes.ts'
import { repositoryHandlers } from './repositories/routes.ts'
import { retentionHandlers } from './retention/routes.ts'
import { sessionHandlers } from './sessions/routes.ts'
import { tagHandlers } from './tags/routes.ts'
import { ciSnippetHandlers } from './ci-snippets/routes.ts'
import { trustRuleHandlers } from './trust-rules/routes.ts'
import { trashHandlers } from './trash/routes.ts'
import { usageHandlers } from './usage/routes.ts'
import { vaultHandlers } from './vault/routes.ts'
import { webhookHandlers } from './webhooks/routes.ts'
import { whoamiHandlers } from './whoami/routes.ts'

/** The handler of every operation. */
export const HANDLERS: Handlers = {
  ...whoamiHandlers,
  ...sessionHandlers,
  ...personalTokenHandlers,
  ...personHandlers,
  ...projectHandlers,
  ...memberHandlers,
  ...invitationHandlers,
  ...namespaceHandlers,
  ...apiKeyHandlers,
  ...trustRuleHandlers,
  ...ciSnippetHandlers,
  ...regionHandlers,
  ...registryHandlers,
  ...registryBrowseHandlers,
  ...repositoryHandlers,
  ...tagHandlers,
  ...manifestHandlers,
  ...usageHandlers,
  ...policyHandlers,
  ...retentionHandlers,
  ...trashHandlers,
  ...vaultHandlers,
  ...gcHandlers,
  ...auditEventHandlers,
  ...refusalHandlers,
  ...webhookHandlers,
}
