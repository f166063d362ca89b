import type { Outgoing } from '../outgoing/outgoing.ts'
import { discardBody, readJson } from '../outgoing/read-body.ts'
import type { FetchDocument } from './issuer-keys.ts'
import { ISSUER_TIMEOUT_MS, MAX_ISSUER_DOCUMENT_BYTES } from './limits.ts'

/** Fetches issuers' documents through the guard of outgoing calls: rules of users name them. No redirects. */
export function createFetchDocument(outgoing: Outgoing): FetchDocument {
  return async (url) => {
    const response = await outgoing.request(url, {
      headers: { accept: 'application/json' },
      timeoutMs: ISSUER_TIMEOUT_MS,
      maxBytes: MAX_ISSUER_DOCUMENT_BYTES,
      // One issuer that is slow takes no place of another.
      account: `issuer/${new URL(url).host}`,
    })
    if (response.status !== 200) {
      discardBody(response)
      throw new Error(`${url} answered ${response.status}`)
    }
    return readJson(response, new URL(url).host)
  }
}
