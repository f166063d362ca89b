import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { parseAllowList } from '../outgoing/allow-list.ts'
import { createOutgoing } from '../outgoing/create-outgoing.ts'
import { credentialSource } from './ecr.ts'
import { parseEcrHost } from './ecr-host.ts'
import { registryPlace } from './registry-place.ts'
import { UpstreamError } from './upstream-error.ts'

const HOST = '123456789012.dkr.ecr.eu-central-1.amazonaws.com'
const KEY = { username: 'AKIAIOSFODNN7EXAMPLE', password: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const PASSWORD = 'exchanged-password'

interface Call {
  readonly request: IncomingMessage
  readonly body: string
}

/** An API of ECR that checks the signature as AWS documents it (Signature Version 4), on loopback. */
async function startApi(respond: (call: Call) => { status: number; type?: string; body: object }) {
  const calls: Call[] = []
  const server = http.createServer((request, response) => void handle(request, response))
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const call = { request, body: Buffer.concat(chunks).toString() }
    calls.push(call)
    const answer = isSigned(call)
      ? respond(call)
      : { status: 400, type: 'InvalidSignatureException', body: { message: 'signature' } }
    response.writeHead(answer.status, {
      'content-type': 'application/x-amz-json-1.1',
      ...(answer.type === undefined ? {} : { 'x-amzn-errortype': answer.type }),
    })
    response.end(JSON.stringify(answer.body))
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    calls,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function isSigned({ request, body }: Call): boolean {
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=(\w+)\/(\d{8})\/([\w-]+)\/ecr\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/
  const match = pattern.exec(request.headers.authorization ?? '')
  const [, keyId, date, region, names, signature] = match ?? []
  if (keyId !== KEY.username || date === undefined || region === undefined || names === undefined)
    return false
  const headers = names.split(';').map((name) => `${name}:${String(request.headers[name]).trim()}\n`)
  const canonical = [request.method, '/', '', headers.join(''), names, sha256(body)].join('\n')
  const scope = `${date}/${region}/ecr/aws4_request`
  const text = `AWS4-HMAC-SHA256\n${String(request.headers['x-amz-date'])}\n${scope}\n${sha256(canonical)}`
  const key = [date, region, 'ecr', 'aws4_request'].reduce<string | Buffer>(
    (previous, part) => createHmac('sha256', previous).update(part).digest(),
    `AWS4${KEY.password}`,
  )
  return createHmac('sha256', key).update(text).digest('hex') === signature
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function issued(lifetimeMs: number) {
  const authorizationToken = Buffer.from(`AWS:${PASSWORD}`).toString('base64')
  const expiresAt = (Date.now() + lifetimeMs) / 1000
  return { status: 200, body: { authorizationData: [{ authorizationToken, expiresAt }] } }
}

function source(origin: string, credential = KEY, allow = origin) {
  const parsed = parseAllowList(allow)
  assert.ok(parsed.ok)
  const outgoing = createOutgoing({ allow: parsed.entries, extraCaPem: null, userAgent: 'berth/test' })
  const endpoints = new Map([['api.ecr.eu-central-1.amazonaws.com', origin]])
  const place = registryPlace({ provider: 'custom', host: HOST, endpoints, outgoing })
  assert.ok(place !== null)
  return credentialSource({ outgoing, place, credential, endpoints })
}

test('an access key is exchanged once for a password that lives for hours; the secret key is never sent', async () => {
  await using api = await startApi(() => issued(12 * 3_600_000))
  const credentials = source(api.origin)
  const [one, other] = await Promise.all([credentials.load({}), credentials.load({})])
  assert.deepEqual(one, { username: 'AWS', password: PASSWORD })
  assert.deepEqual(other, one)
  await credentials.load({})
  assert.equal(api.calls.length, 1)
  const [call] = api.calls
  assert.match(String(call?.request.headers['x-amz-target']), /GetAuthorizationToken$/)
  const sent = `${call?.request.rawHeaders.join('\n')}${call?.body}`
  assert.ok(sent.includes(KEY.username) && !sent.includes(KEY.password))
  credentials.drop()
  await credentials.load({})
  assert.equal(api.calls.length, 2, 'what the registry refused is exchanged again')
})

test('what AWS refuses is told apart', async () => {
  const refused: [string, string][] = [
    ['UnrecognizedClientException', 'credentials'],
    ['AccessDeniedException', 'rights'],
  ]
  for (const [type, reason] of refused) {
    await using api = await startApi(() => ({ status: 400, type, body: { message: 'no' } }))
    await assert.rejects(
      source(api.origin).load({}),
      (error) => error instanceof UpstreamError && error.reason === reason,
    )
  }
  await using api = await startApi(() => issued(1))
  const wrong = source(api.origin, { username: KEY.username, password: 'not-the-secret-key' })
  await assert.rejects(
    wrong.load({}),
    (error) => error instanceof UpstreamError && error.reason === 'credentials',
  )
})

test('the exchange goes through the guard', async () => {
  await using api = await startApi(() => issued(1))
  const refused = source(api.origin, KEY, '').load({})
  await assert.rejects(
    refused,
    (error) => error instanceof UpstreamError && error.reason === 'refused_address',
  )
  assert.equal(api.calls.length, 0)
})

test('a password that is one already is used as it is', async () => {
  const credential = { username: 'AWS', password: 'of-twelve-hours' }
  assert.deepEqual(await source('http://127.0.0.1:1', credential).load({}), credential)
})

test('only the hosts of private ECR are such hosts', () => {
  assert.deepEqual(parseEcrHost(HOST), {
    accountId: '123456789012',
    region: 'eu-central-1',
    apiOrigin: 'https://api.ecr.eu-central-1.amazonaws.com',
  })
  assert.equal(
    parseEcrHost('123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn')?.apiOrigin,
    'https://api.ecr.cn-north-1.amazonaws.com.cn',
  )
  assert.equal(
    parseEcrHost('123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com')?.apiOrigin,
    'https://ecr-fips.us-gov-west-1.amazonaws.com',
  )
  for (const host of [
    `${HOST}.evil.example`,
    `evil.example.${HOST}`,
    `x${HOST}`,
    '123456789012.dkr.ecr.evil.example.amazonaws.com',
    '123456789012.dkr.ecr.eu-central-1.amazonaws.com:443',
    '123456789012.dkr.ecr.eu-central-1-amazonaws.com',
    'public.ecr.aws',
  ]) {
    assert.equal(parseEcrHost(host), null, host)
  }
})
