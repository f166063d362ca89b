import type { Kysely } from 'kysely'
import type { ControlSchema } from '../metastore/control-schema.ts'
import { listWebhookSecrets, webhookSecretContext } from '../metastore/queries/webhook.ts'
import type { Vault } from '../vault/vault.ts'

/** What a webhook signs with now, the newest first. Throws `VaultError` when one cannot be opened. */
export async function openWebhookSecrets(
  { reader, vault }: { readonly reader: Kysely<ControlSchema>; readonly vault: Vault },
  webhookId: string,
  nowMs: number,
): Promise<string[]> {
  const rows = await listWebhookSecrets(reader, webhookId, nowMs)
  return Promise.all(
    rows.map(async (row) =>
      Buffer.from(await vault.open(webhookSecretContext(row), row.sealed)).toString('utf8'),
    ),
  )
}
