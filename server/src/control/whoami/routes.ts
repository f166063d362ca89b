import type { Whoami } from '@berth/api/whoami'
import type { HandlersOf } from '../handler.ts'
import type { ConsolePrincipal } from '../principal.ts'
import { toTimestampOrNull } from '../time.ts'

export const whoamiHandlers: HandlersOf<'whoami'> = {
  whoami: async ({ runtime, principal }) => ({
    principal: toWhoami(principal),
    installation: { ...runtime.installation, registryHost: runtime.sharedHost?.host ?? null },
  }),
}

function toWhoami(principal: ConsolePrincipal): Whoami['principal'] {
  if (principal.kind === 'operator') return { kind: 'operator' }
  const { email, name, isOperator, via, sessionId, tokenId, steppedUpUntil } = principal
  return {
    kind: 'person',
    id: principal.userId,
    email,
    name,
    isOperator,
    via,
    sessionId,
    tokenId,
    steppedUpUntil: toTimestampOrNull(steppedUpUntil),
  }
}
