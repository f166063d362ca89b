import type { HandlersOf } from '../handler.ts'
import { rekey } from './rekey.ts'
import { vaultStatus } from './status.ts'

export const vaultHandlers: HandlersOf<'vault.status' | 'vault.rekey'> = {
  'vault.status': ({ runtime }) => vaultStatus(runtime),
  'vault.rekey': ({ runtime, origin, signal }, { body }) => rekey(runtime, body, origin, signal),
}
