import { apiKeyHandlers } from './api-keys/routes.ts'
import { auditEventHandlers } from './audit-events/routes.ts'
import { gcHandlers } from './gc/routes.ts'
import type { Handlers } from './handler.ts'
import { manifestHandlers } from './manifests/routes.ts'
import { memberHandlers } from './members/routes.ts'
import { invitationHandlers } from './invitations/routes.ts'
import { namespaceHandlers } from './namespaces/routes.ts'
import { projectHandlers } from './projects/routes.ts'
import { refusalHandlers } from './refusals/routes.ts'
import { regionHandlers } from './regions/routes.ts'
import { registryHandlers } from './registries/routes.ts'
import { repositoryHandlers } from './repositories/routes.ts'
import { tagHandlers } from './tags/routes.ts'
import { usageHandlers } from './usage/routes.ts'
import { vaultHandlers } from './vault/routes.ts'
import { whoamiHandlers } from './whoami/routes.ts'

/** The handler of every operation. */
export const HANDLERS: Handlers = {
  ...whoamiHandlers,
  ...projectHandlers,
  ...memberHandlers,
  ...invitationHandlers,
  ...namespaceHandlers,
  ...apiKeyHandlers,
  ...regionHandlers,
  ...registryHandlers,
  ...repositoryHandlers,
  ...tagHandlers,
  ...manifestHandlers,
  ...usageHandlers,
  ...vaultHandlers,
  ...gcHandlers,
  ...auditEventHandlers,
  ...refusalHandlers,
}
