import type { DatabaseKind } from './database.ts'
import { accessCopyCommands } from './queries/access-copy.ts'
import { accessFeedCommands } from './queries/access-feed.ts'
import { accessReplicaCommands } from './queries/access-replica.ts'
import { apiKeyExpiryCommands } from './queries/api-key-expiry.ts'
import { apiKeyCommands } from './queries/api-key.ts'
import { controlAuditChainCommands, regionAuditChainCommands } from './queries/audit-chain.ts'
import { blobCommands } from './queries/blob.ts'
import { deleteManifestCommands } from './queries/delete-manifest.ts'
import { cacheEvictionCommands } from './queries/cache-eviction.ts'
import { cachedContentCommands } from './queries/cached-content.ts'
import { deleteRepositoryCommands } from './queries/delete-repository.ts'
import { displacedPersonCommands } from './queries/displaced-person.ts'
import { deletedProjectCommands } from './queries/deleted-project.ts'
import { gcRunCommands } from './queries/gc-run.ts'
import { gcCommands } from './queries/gc.ts'
import { healthCommands } from './queries/health.ts'
import { imageHoldCommands } from './queries/image-hold.ts'
import { installationCommands } from './queries/installation.ts'
import { lastPullCommands } from './queries/last-pull.ts'
import { manifestCommands } from './queries/manifest.ts'
import { projectKeyCommands } from './queries/project-key.ts'
import { passkeyCommands } from './queries/passkey.ts'
import { peopleRecordCommands } from './queries/people-record.ts'
import { personCommands } from './queries/person.ts'
import { passwordCommands } from './queries/password.ts'
import { personUpkeepCommands } from './queries/person-upkeep.ts'
import { personSessionCommands } from './queries/person-session.ts'
import { personalTokenCommands } from './queries/personal-token.ts'
import { invitationCommands } from './queries/invitation.ts'
import { memberCommands } from './queries/member.ts'
import { projectPoliciesCommands } from './queries/project-policies.ts'
import { projectCommands } from './queries/project.ts'
import { jobLeaseCommands } from './queries/job-lease.ts'
import { dueDeliveryCommands } from './queries/due-delivery.ts'
import { webhookCommands } from './queries/webhook.ts'
import { webhookDeliveryCommands } from './queries/webhook-delivery.ts'
import { controlRefusalCommands, regionRefusalCommands } from './queries/refusal.ts'
import { regionRecordCommands } from './queries/region.ts'
import { registryCommands } from './queries/registry-commands.ts'
import { registryCredentialCommands } from './queries/registry-credential.ts'
import { rekeyCommands } from './queries/rekey.ts'
import { removeProjectCommands } from './queries/remove-project.ts'
import { restoreTagCommands } from './queries/restore-tag.ts'
import { retentionRunCommands } from './queries/retention-run.ts'
import { retentionCommands } from './queries/retention.ts'
import { ciTokenCommands } from './queries/ci-token.ts'
import { tagCommands } from './queries/tag.ts'
import { trashCommands } from './queries/trash.ts'
import { undeleteManifestCommands } from './queries/undelete-manifest.ts'
import { trustRuleCommands } from './queries/trust-rule.ts'

/** A command whose types are not known any more: what the registry below holds. */
export interface AnyCommand {
  readonly name: string
  readonly execute: (tx: never, args: never) => Promise<unknown>
  readonly erases?: boolean
}

/**
 * All commands by database kind. The SQLite writer thread finds commands here by their name, so a command that is
 * not listed cannot run. Each file of `queries/` exports its own array; add it here.
 */
export const controlCommands: readonly AnyCommand[] = [
  ...healthCommands,
  ...installationCommands,
  ...regionRecordCommands,
  ...projectCommands,
  ...projectPoliciesCommands,
  ...memberCommands,
  ...invitationCommands,
  ...personalTokenCommands,
  ...personSessionCommands,
  ...personCommands,
  ...peopleRecordCommands,
  ...personUpkeepCommands,
  ...displacedPersonCommands,
  ...passwordCommands,
  ...passkeyCommands,
  ...projectKeyCommands,
  ...registryCommands,
  ...registryCredentialCommands,
  ...rekeyCommands,
  ...apiKeyCommands,
  ...apiKeyExpiryCommands,
  ...trustRuleCommands,
  ...accessFeedCommands,
  ...controlAuditChainCommands,
  ...controlRefusalCommands,
  ...jobLeaseCommands,
  ...webhookCommands,
  ...webhookDeliveryCommands,
  ...dueDeliveryCommands,
]

export const regionCommands: readonly AnyCommand[] = [
  ...healthCommands,
  ...accessCopyCommands,
  ...ciTokenCommands,
  ...accessReplicaCommands,
  ...gcCommands,
  ...gcRunCommands,
  ...blobCommands,
  ...cachedContentCommands,
  ...cacheEvictionCommands,
  ...manifestCommands,
  ...deleteManifestCommands,
  ...undeleteManifestCommands,
  ...imageHoldCommands,
  ...lastPullCommands,
  ...removeProjectCommands,
  ...retentionCommands,
  ...retentionRunCommands,
  ...trashCommands,
  ...tagCommands,
  ...restoreTagCommands,
  ...deleteRepositoryCommands,
  ...deletedProjectCommands,
  ...regionAuditChainCommands,
  ...regionRefusalCommands,
]

export const COMMANDS: Readonly<Record<DatabaseKind, readonly AnyCommand[]>> = {
  control: controlCommands,
  region: regionCommands,
}

/** Commands of one database kind by name. Throws when a name is given twice. */
export function commandsByName(commands: readonly AnyCommand[]): ReadonlyMap<string, AnyCommand> {
  const byName = new Map<string, AnyCommand>()
  for (const command of commands) {
    if (byName.has(command.name)) throw new Error(`two commands are named ${command.name}`)
    byName.set(command.name, command)
  }
  return byName
}
