import { ApiError } from '@berth/api/errors'
import { VaultError } from '../../vault/aead.ts'
import type { ControlRuntime } from '../runtime.ts'
import { SEAL_ATTEMPTS } from '../limits.ts'

/**
 * Seals a secret and stores it; again when the project's key is replaced between the two. Raises `unavailable` when
 * this process cannot use the project's key.
 */
export async function sealForStorage<
  Sealed,
  Outcome extends { readonly ok: true } | { readonly ok: false; readonly reason: string },
>(
  runtime: ControlRuntime,
  seal: () => Promise<Sealed>,
  store: (sealed: Sealed) => Promise<Outcome>,
): Promise<{ readonly outcome: Outcome; readonly sealed: Sealed }> {
  for (let attempt = 1; ; attempt++) {
    const sealed = await sealOrExplain(runtime, seal)
    const outcome = await store(sealed)
    if (outcome.ok || outcome.reason !== 'key_replaced' || attempt === SEAL_ATTEMPTS)
      return { outcome, sealed }
  }
}

async function sealOrExplain<Sealed>({ log }: ControlRuntime, seal: () => Promise<Sealed>): Promise<Sealed> {
  try {
    return await seal()
  } catch (cause) {
    if (!(cause instanceof VaultError)) throw cause
    // Which root key is missing is for whoever runs the installation.
    log.error({ err: cause }, 'a secret cannot be sealed')
    const detail = 'Secrets cannot be stored now: the key of the project cannot be used. Ask an operator.'
    throw new ApiError('unavailable', detail, { cause })
  }
}
