import { VaultError } from './aead.ts'
import { keyVersionOf, openSecret, type SealedSecret, sealSecret, type SecretContext } from './envelope.ts'
import { newProjectKey, unwrapProjectKey, type WrappedProjectKey } from './project-key.ts'
import { type RootKeys, rootKeyById } from './root-keys.ts'

/**
 * Seals and opens secrets of projects. Whoever stores what `seal` gives must check, in the transaction that stores it,
 * that the project's key is still there (`projectKeyIsThere`), and seal again when it is not: a re-keying may have
 * replaced it meanwhile.
 */
export interface Vault {
  seal(context: SecretContext, plaintext: string | Uint8Array): Promise<SealedSecret>
  /** Throws `VaultError` when anything does not fit. */
  open(context: SecretContext, sealed: SealedSecret): Promise<Uint8Array>
}

export type { SealedSecret, SecretContext }

/** Where project keys are kept. Nothing of it is remembered: a key that is deleted there is gone. */
export interface ProjectKeyStore {
  loadNewest(projectId: string): Promise<WrappedProjectKey | null>
  load(projectId: string, version: number): Promise<WrappedProjectKey | null>
  /** Id of the root key that new project keys are to be wrapped with. */
  loadActiveRootId(): Promise<string>
  /** Stores a project's key unless there is one of that version, or another root key is active. */
  insert(key: WrappedProjectKey): Promise<'inserted' | 'exists' | 'root_changed' | 'project_not_found'>
}

// Each attempt fails only because another process changed something in between.
const ATTEMPTS = 5

/** A vault over stored project keys. A project's first key is made when its first secret is sealed. */
export function createVault(options: { readonly roots: RootKeys; readonly keys: ProjectKeyStore }): Vault {
  const { roots, keys } = options

  async function newestKey(projectId: string): Promise<WrappedProjectKey> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const known = await keys.loadNewest(projectId)
      if (known !== null) return known
      const rootId = await keys.loadActiveRootId()
      const key = newProjectKey(projectId, 1, { id: rootId, key: rootKeyById(roots, rootId) })
      const outcome = await keys.insert(key)
      if (outcome === 'inserted') return key
      if (outcome === 'project_not_found') throw new VaultError('There is no such project.')
    }
    throw new VaultError('The keys of the project change too fast.')
  }

  return {
    async seal(context, plaintext) {
      const stored = await newestKey(context.projectId)
      const key = unwrapProjectKey(stored, roots)
      const bytes = typeof plaintext === 'string' ? Buffer.from(plaintext, 'utf8') : plaintext
      try {
        return sealSecret({ version: stored.version, key }, context, bytes)
      } finally {
        key.fill(0)
      }
    },
    async open(context, sealed) {
      const stored = await keys.load(context.projectId, keyVersionOf(sealed))
      if (stored === null) throw new VaultError('The key of this secret was destroyed.')
      const key = unwrapProjectKey(stored, roots)
      try {
        return openSecret(key, context, sealed)
      } finally {
        key.fill(0)
      }
    },
  }
}
