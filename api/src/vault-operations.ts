import { OPERATOR } from './access.ts'
import type { Operation } from './operation.ts'
import { vaultRekey, vaultRekeyed, vaultStatus } from './vault.ts'

/** Operations on the keys that protect stored secrets. */
export const VAULT_OPERATIONS = {
  'vault.status': {
    method: 'GET',
    path: '/vault',
    summary: 'Show the state of the keys that protect stored secrets',
    params: null,
    query: null,
    body: null,
    status: 200,
    response: vaultStatus,
    errors: [],
    access: OPERATOR,
  },
  'vault.rekey': {
    method: 'POST',
    path: '/vault/rekey',
    summary: 'Change the keys that protect stored secrets, a part at a time',
    description:
      'Does a bounded part of the work and answers what is left; call it until `done`. Everything stays readable and writable meanwhile, and a call that breaks off loses nothing. A new root key is taken when the process was given it beside the one before.',
    params: null,
    query: null,
    body: vaultRekey,
    status: 200,
    response: vaultRekeyed,
    errors: ['root_key_missing'],
    access: OPERATOR,
    stepUp: true,
  },
} as const satisfies Record<string, Operation>
