import type { RegistryTested } from '@berth/api/registries'
import type { ProjectRow, RegistryRow } from '../../metastore/control-schema.ts'
import type { ChangeOrigin } from '../../metastore/queries/control-audit.ts'
import { recordRegistryTest } from '../../metastore/queries/registry-commands.ts'
import { createUpstreamClient } from '../../upstream/upstream-client.ts'
import type { UpstreamCredential } from '../../upstream/upstream.ts'
import type { ControlRuntime } from '../runtime.ts'
import { openStored } from './open-stored.ts'
import { findThirdParty } from './service.ts'

/**
 * Tries a third-party registry with its stored login, and says what is wrong and what to do.
 * Raises `registry_not_found`, `registry_kind`, `secret_unreadable`.
 */
export async function testRegistry(
  runtime: ControlRuntime,
  {
    project,
    id,
    origin,
  }: { readonly project: ProjectRow; readonly id: string; readonly origin: ChangeOrigin },
  repository: string | undefined,
): Promise<RegistryTested> {
  const row = await findThirdParty(runtime, project, id)
  const { outgoing, upstreamEndpoints: endpoints } = runtime
  const client = createUpstreamClient({
    outgoing,
    endpoints,
    provider: row.provider,
    host: row.host,
    credential: await loginOf(runtime, row),
    account: project.id,
  })
  const { ok, reason, message, nextStep, checks } = await client.test(repository)
  await runtime.db.run(recordRegistryTest, {
    projectId: project.id,
    slug: row.slug ?? row.id,
    reason,
    origin,
  })
  return {
    ok,
    reason,
    message: sentence(message, row.host),
    nextStep,
    checks: checks.map((check) => ({ ...check, message: sentence(check.message, row.host) })),
  }
}

/** What was found, as a sentence. A host at its beginning stays as it is written. */
function sentence(text: string, host: string): string {
  const beginsWithName = text.startsWith(host) || !/^[a-z]+[ ,]/.test(text)
  const capital = beginsWithName ? text : text.slice(0, 1).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(capital) ? capital : `${capital}.`
}

async function loginOf(runtime: ControlRuntime, row: RegistryRow): Promise<UpstreamCredential | null> {
  if (row.sealed_password === null || row.username === null) return null
  return { username: row.username, password: await openStored(runtime, row) }
}
