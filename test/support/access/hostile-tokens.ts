import { createHmac, KeyObject, sign as signBytes } from 'node:crypto'
import { AUDIENCE, githubClaims, type TestIssuer } from './issuer.ts'

/** A token that must be refused, with what the refusal may say. */
export type HostileToken = readonly [what: string, token: string, message: RegExp]

/** What is said of a token that no issuer of a rule has signed: nothing. */
export const UNKNOWN_TOKEN = /not valid here: no trust rule names its issuer, or it is not signed by that/

const HOURS_6 = 6 * 3600

/** Tokens against a rule for the repository 4711 with the refs `refs/heads/*`, each wrong in one way. */
export async function hostileTokens(issuer: TestIssuer): Promise<HostileToken[]> {
  const good = githubClaims(issuer.url, Date.now())
  const forged = (await forgeries(issuer, good)).map(
    ([what, token]): HostileToken => [what, token, UNKNOWN_TOKEN],
  )
  const signed: HostileToken[] = []
  for (const [what, wrong, message] of wrongClaims(issuer.url)) {
    signed.push([what, await issuer.key.sign({ ...good, ...wrong }), message])
  }
  return [...forged, ...signed]
}

async function forgeries(issuer: TestIssuer, good: Record<string, unknown>): Promise<[string, string][]> {
  const other = await issuer.makeKey('other')
  const impostor = await issuer.makeKey('first')
  const [head = '', body = '', signature = ''] = (await issuer.key.sign(good)).split('.')
  const withHeader = (header: object) => `${encode(header)}.${body}`
  const text = JSON.stringify(good).slice(1)
  return [
    ['alg none', `${withHeader({ alg: 'none' })}.AAAA`],
    ['alg None', `${withHeader({ alg: 'None', kid: 'first' })}.AAAA`],
    [
      'HS256 with the public key',
      hmac(withHeader({ alg: 'HS256', kid: 'first' }), JSON.stringify(issuer.key.publicJwk)),
    ],
    ['another key under a known kid', await impostor.sign(good)],
    ['an unknown kid', await other.sign(good)],
    ['a key in the header', await other.sign(good, { jwk: other.publicJwk })],
    ['a key address in the header', await other.sign(good, { jku: 'https://evil.example/keys' })],
    ['a changed claim', `${head}.${encode({ ...good, repository_id: '4712' })}.${signature}`],
    ['another algorithm of the same key', `${withHeader({ alg: 'PS256', kid: 'first' })}.${signature}`],
    ['a critical header', await issuer.key.sign(good, { crit: ['b64'], b64: true })],
    ['an access token of the issuer', await issuer.key.sign(good, { typ: 'at+jwt' })],
    ['a log-out token of the issuer', await issuer.key.sign(good, { typ: 'logout+jwt' })],
    ['a claim that comes twice', signText(issuer, `{"repository_id":"1",${text}`)],
    ['a claim in another case', signText(issuer, `{"Repository_ID":"4711",${text}`)],
    ['another issuer', await issuer.key.sign({ ...good, iss: `${issuer.url}/` })],
    ['no issuer', await issuer.key.sign({ ...good, iss: undefined })],
    ['a long issuer', await issuer.key.sign({ ...good, iss: `${issuer.url}/${'x'.repeat(600)}` })],
  ]
}

function wrongClaims(issuer: string): [string, Record<string, unknown>, RegExp][] {
  const now = Math.floor(Date.now() / 1000)
  return [
    ['expired', { exp: now - 31 }, /has expired/],
    ['not yet valid', { nbf: now + 60 }, /"nbf"/],
    ['issued in the future', { iat: now + 60, exp: now + 300 }, /in the future/],
    ['too old', { iat: now - HOURS_6 - 60 }, /older than 6 hours/],
    ['no exp', { exp: undefined }, /"exp"/],
    ['no iat', { iat: undefined }, /"iat"/],
    ['no aud', { aud: undefined }, /"aud"/],
    ['an aud that is no text', { aud: [1] }, /aud are malformed/],
    ['the issuer as audience', { aud: issuer }, /asks for the audience "https:\/\/console.example"/],
    ['a longer audience', { aud: `${AUDIENCE}/` }, /asks for the audience/],
    ['a part of the audience', { aud: [AUDIENCE.slice(0, -1)] }, /asks for the audience/],
    ['no id of the repository', { repository_id: undefined }, /No trust rule .*fits/],
    ['another repository', { repository_id: '47110' }, /No trust rule .*fits .*repository_id "47110"/],
    ['a list of ids', { repository_id: ['4711'] }, /No trust rule .*fits/],
    ['an object for the id', { repository_id: { 4711: 1 } }, /No trust rule .*fits/],
    ['another ref', { ref: 'refs/tags/v1' }, /another ref than "refs\/tags\/v1"/],
    ['a deeper ref', { ref: 'refs/heads/a/b' }, /another ref/],
    ['no ref', { ref: undefined }, /no such claim/],
    ['a run for a fork', { event_name: 'pull_request_target' }, /code of a fork/],
    [
      'a claim for headers',
      { ref: 'x\r\nSet-Cookie: "a"\u{1f600}' },
      /another ref than "x\?\?Set-Cookie: 'a'/,
    ],
  ]
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** The same ES256 token with the other signature that ECDSA allows for it: (r, n - s). */
export function otherSpelling(token: string): string {
  const end = token.lastIndexOf('.') + 1
  const signature = Buffer.from(token.slice(end), 'base64url')
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`)
  const other = Buffer.from((P256_ORDER - s).toString(16).padStart(64, '0'), 'hex')
  return token.slice(0, end) + Buffer.concat([signature.subarray(0, 32), other]).toString('base64url')
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function hmac(input: string, secret: string): string {
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

/** Signs a payload as it is written, as no JSON library would write it. */
function signText({ key }: TestIssuer, payload: string): string {
  const input = `${encode({ alg: 'RS256', kid: 'first' })}.${Buffer.from(payload).toString('base64url')}`
  const signature = signBytes('sha256', Buffer.from(input), KeyObject.from(key.privateKey))
  return `${input}.${signature.toString('base64url')}`
}
