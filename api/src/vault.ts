import { z } from 'zod'
import { timestamp } from './fields.ts'

const rootKeyId = z.string().describe('Names a root key, and says nothing about it.')

export const vaultStatus = z
  .object({
    rootKey: z.object({
      active: rootKeyId.describe('Root key that the installation is on.'),
      configured: rootKeyId.describe('Root key that this process was given.'),
      previousConfigured: z.boolean().describe('Whether this process was also given the one before.'),
      projectKeysOfOthers: z.int().describe('Project keys that another root key still wraps.'),
      canForgetPrevious: z.boolean().describe('Whether nothing needs the root key before any more.'),
    }),
    projectKeys: z.object({
      projects: z.int().describe('Projects that have a key.'),
      startedAt: timestamp.nullable().describe('When the re-keying under way began; null: none is.'),
      remaining: z.int().describe('Projects that it has still to do.'),
    }),
  })
  .meta({ id: 'VaultStatus' })

export type VaultStatus = z.output<typeof vaultStatus>

export const vaultRekey = z
  .strictObject({
    projectKeys: z
      .boolean()
      .default(true)
      .describe(
        'Also give every project a new key, and seal its secrets anew. false: only change the root key.',
      ),
  })
  .meta({ id: 'VaultRekey' })

export const vaultRekeyed = vaultStatus
  .extend({
    done: z.boolean().describe('false: call again, there is more to do.'),
    rewrappedKeys: z.int().describe('Project keys that this call put under the new root key.'),
    rekeyedProjects: z.int().describe('Projects that this call gave a new key.'),
    resealedSecrets: z.int().describe('Secrets that this call sealed anew.'),
    unreadable: z
      .array(z.string())
      .describe('Secrets that cannot be opened and were left as they are: store them again, or delete them.'),
    pendingRegions: z
      .array(z.string())
      .describe('Regions that could not be reached; call again when they can.'),
  })
  .meta({ id: 'VaultRekeyed' })

export type VaultRekeyed = z.output<typeof vaultRekeyed>
