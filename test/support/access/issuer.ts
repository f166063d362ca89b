import { randomUUID, type webcrypto } from 'node:crypto'
import { exportJWK, generateKeyPair, type JWK, type JWTHeaderParameters, SignJWT } from 'jose'
import type { FetchDocument } from '@berth/server/access/issuer-keys'

/** An issuer of CI tokens whose documents are in memory. Tests change its keys and its mood. */
export interface TestIssuer {
  readonly url: string
  readonly fetchDocument: FetchDocument
  /** URLs that were fetched, in their order. */
  readonly fetched: string[]
  /** What the discovery document says; tests overwrite parts. */
  readonly discovery: Record<string, unknown>
  /** Each fetch rejects while it is set. */
  isDown: boolean
  /** What it publishes. */
  keys: JWK[]
  /** Makes a key, which it does not publish by itself. */
  makeKey(kid: string | null, algorithm?: string): Promise<IssuerKey>
  /** A key that is published. */
  readonly key: IssuerKey
}

export interface IssuerKey {
  readonly kid: string | null
  readonly algorithm: string
  readonly publicJwk: JWK
  readonly privateKey: webcrypto.CryptoKey
  sign(claims: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>
}

/** Makes an issuer with one RS256 key. */
export async function createTestIssuer(url: string): Promise<TestIssuer> {
  const key = await makeKey('first')
  const fetched: string[] = []
  const issuer = {
    url,
    fetched,
    isDown: false,
    keys: [key.publicJwk],
    discovery: { issuer: url, jwks_uri: `${url}/keys` } as Record<string, unknown>,
    key,
    makeKey,
    async fetchDocument(address: string): Promise<unknown> {
      fetched.push(address)
      if (issuer.isDown) throw new Error('the issuer is down')
      if (address === `${url}/.well-known/openid-configuration`) return structuredClone(issuer.discovery)
      if (address === issuer.discovery['jwks_uri']) return structuredClone({ keys: issuer.keys })
      throw new Error(`${address} answered 404`)
    },
  }
  return issuer
}

async function makeKey(kid: string | null, algorithm = 'RS256'): Promise<IssuerKey> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const named = kid === null ? {} : { kid }
  const publicJwk = { ...(await exportJWK(publicKey)), ...named, alg: algorithm, use: 'sig' }
  return {
    kid,
    algorithm,
    publicJwk,
    privateKey,
    sign: (claims, header = {}) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: algorithm, typ: 'JWT', ...named, ...header } as JWTHeaderParameters)
        .sign(privateKey),
  }
}

/** The claims of a job of GitHub Actions, with what matters of them. */
export function githubClaims(
  issuer: string,
  nowMs: number,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  const nowSeconds = Math.floor(nowMs / 1000)
  return {
    iss: issuer,
    aud: AUDIENCE,
    jti: randomUUID(),
    iat: nowSeconds,
    nbf: nowSeconds - 5,
    exp: nowSeconds + 300,
    sub: 'repo:octo@1/web@2:ref:refs/heads/main',
    repository: 'octo/web',
    repository_id: '4711',
    repository_owner_id: '1',
    ref: 'refs/heads/main',
    ref_type: 'branch',
    event_name: 'push',
    run_id: '99',
    run_attempt: '1',
    workflow_ref: 'octo/web/.github/workflows/push.yml@refs/heads/main',
    ...more,
  }
}

/** The audience of rules in tests. */
export const AUDIENCE = 'https://console.example'
