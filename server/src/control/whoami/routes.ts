import type { HandlersOf } from '../handler.ts'

export const whoamiHandlers: HandlersOf<'whoami'> = {
  whoami: async ({ runtime, principal }) => ({
    principal: { kind: principal.kind },
    installation: runtime.installation,
  }),
}
