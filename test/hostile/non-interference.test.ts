/**
 * What another project has, and what a key may not see in its own, answers exactly as what does not exist: status,
 * headers and body, for every route of the data plane and every operation of the console, for every kind of caller.
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { operationUrl } from '@berth/api/client'
import type { Operation } from '@berth/api/operation'
import { OPERATION_IDS, OPERATIONS } from '@berth/api/operations'
import { keyWithSecret, mintKeyId } from '../../server/src/access/key.ts'
import { basicAuthorization, type Berth, type KeyAnswer } from '../support/berth.ts'
import {
  type Blob,
  blobOf,
  call,
  callFor,
  descriptorOf,
  imageOf,
  ociManifest,
  openUpload,
  portOf,
  pushBlob,
  pushImage,
  randomBlob,
  startHostileBerth,
  tokenFor,
} from './fixture.ts'
import { openRawConnection } from './raw-connection.ts'
import { type Probe, type Shown, show } from './probes/probe.ts'
import { namesOf, REGISTRY_PROBES, type Target } from './probes/registry-probes.ts'

const OWN = 'acme/web'
const HIDDEN = 'acme/hidden'
const KINDS = Object.keys(REGISTRY_PROBES) as (keyof typeof REGISTRY_PROBES)[]
const CALLERS = [
  'anonymous',
  'anonymous token',
  'key by Basic',
  'key by Bearer',
  'narrow key',
  'narrow token',
] as const
type Caller = (typeof CALLERS)[number]

interface World {
  readonly berth: Berth
  /** Everything of these is there, and another project's (or, for a narrow key, hidden). */
  readonly foreign: Target
  readonly hidden: Target
  readonly foreignImage: { readonly manifest: Blob; readonly layer: Blob }
  readonly key: KeyAnswer
  readonly secondKey: KeyAnswer
  readonly foreignKey: KeyAnswer
  readonly narrowKey: KeyAnswer
  readonly foreignProject: { readonly id: string; readonly namespace: string }
  readonly credentials: Readonly<Record<Caller, string | null>>
}

let world: World

before(async () => {
  world = await prepare(await startHostileBerth())
})
after(async () => world?.berth[Symbol.asyncDispose]())

async function prepare(berth: Berth): Promise<World> {
  const own = await berth.createProject('acme')
  const other = await berth.createProject('other')
  for (const { id } of [own, other]) {
    const body = { provider: 'ghcr', slug: 'up' }
    assert.equal((await berth.api('POST', `/projects/${id}/registries`, body)).status, 201)
  }
  const actions = ['pull', 'push', 'delete'] as const
  const key = await berth.createKey(own.id, { actions })
  const secondKey = await berth.createKey(own.id, { actions })
  const narrowKey = await berth.createKey(own.id, { actions, repositories: ['web', 'web/**'] })
  const foreignKey = await berth.createKey(other.id, { actions })
  await pushImage(berth, key, OWN, 'v1', imageOf(randomBlob(100)))
  const foreignImage = imageOf(randomBlob(50_000))
  const foreign = await fill(berth, foreignKey, 'other/secret', foreignImage)
  const hidden = await fill(berth, key, HIDDEN, imageOf(randomBlob(50_000)))
  const scopes = [foreign, hidden, missing(foreign), missing(hidden), { ...hidden, repository: OWN }].map(
    ({ repository }) => `repository:${repository}:pull,push,delete`,
  )
  scopes.push('registry:catalog:*')
  const bearer = async (from: { authorization: string }) =>
    `Bearer ${(await tokenFor(berth, from, scopes)).token}`
  const anonymous = await callFor(200, berth, 'GET', `/auth/token?scope=${scopes[0]}`)
  return {
    berth,
    foreign,
    hidden,
    foreignImage,
    key,
    secondKey,
    foreignKey,
    narrowKey,
    foreignProject: other,
    credentials: {
      anonymous: null,
      'anonymous token': `Bearer ${(JSON.parse(anonymous.body.toString()) as { token: string }).token}`,
      'key by Basic': key.authorization,
      'key by Bearer': await bearer(key),
      'narrow key': narrowKey.authorization,
      'narrow token': await bearer(narrowKey),
    },
  }
}

/** Pushes an image and a referrer of it, and leaves an upload open. */
async function fill(
  berth: Berth,
  key: KeyAnswer,
  repository: string,
  image: ReturnType<typeof imageOf>,
): Promise<Target> {
  await pushImage(berth, key, repository, 'tag-there', image)
  const subject = descriptorOf(image.manifest, ociManifest)
  await pushImage(
    berth,
    key,
    repository,
    'signature',
    imageOf(randomBlob(10), { subject, artifactType: 'a/b' }),
  )
  const path = await openUpload(berth, key, repository)
  await callFor(202, berth, 'PATCH', path, { authorization: key.authorization, body: '01234' })
  return {
    repository,
    tag: 'tag-there',
    manifest: image.manifest.digest,
    blob: image.layer.digest,
    session: path.split('/').at(-1) as string,
  }
}

/** Nothing of it is there; names are as long as those of the target. */
function missing({ repository }: Target): Target {
  const isOwn = repository.startsWith('acme/')
  return {
    repository: isOwn ? 'acme/hodden' : 'nobod/secret',
    tag: 'tag-wrong',
    manifest: blobOf('no such manifest').digest,
    blob: blobOf('no such blob').digest,
    session: randomUUID(),
  }
}

/** The target with one or more of its parts not there. */
function variants(target: Target): Readonly<Record<string, Target>> {
  const none = missing(target)
  return {
    'with everything there': target,
    'with a tag that is not there': { ...target, tag: none.tag },
    'with a manifest that is not there': { ...target, manifest: none.manifest },
    'with a blob that is not there': { ...target, blob: none.blob },
    'with a session that is not there': { ...target, session: none.session },
    'with content that is there, in a repository that is not': { ...target, repository: none.repository },
  }
}

test('every kind of request of the data plane has a row', () => {
  const source = readFileSync(
    join(import.meta.dirname, '..', '..', 'server', 'src', 'registry', 'request.ts'),
    'utf8',
  )
  const kinds = new Set(
    [...source.matchAll(/readonly kind: '([a-z-]+)'/g)].map((match) => match[1] as string),
  )
  assert.ok(kinds.size > 10)
  assert.deepEqual([...kinds].sort(), [...KINDS].sort())
})

describe("another project's things do not exist", () => {
  for (const kind of KINDS) {
    for (const caller of CALLERS) {
      test(`${kind}, ${caller}`, () => compare(kind, caller, world.foreign))
    }
  }
})

describe('what a narrow key may not see in its own project answers like nothing', () => {
  for (const kind of KINDS) {
    for (const caller of ['narrow key', 'narrow token', 'anonymous'] as const) {
      test(`${kind}, ${caller}`, () => compare(kind, caller, world.hidden))
    }
  }
})

// Names as long as those of the other targets. Nobody who asks here gets as far as asking the registry.
describe('connected registries do not exist for those who may not pull through them', () => {
  for (const kind of KINDS) {
    for (const caller of CALLERS) {
      test(`${kind}, ${caller}, another project's`, () =>
        compare(kind, caller, { ...world.foreign, repository: 'other/up/app' }))
    }
    for (const caller of ['narrow key', 'narrow token', 'anonymous'] as const) {
      test(`${kind}, ${caller}, hidden`, () =>
        compare(kind, caller, { ...world.hidden, repository: 'acme/up/app' }))
    }
  }
})

async function compare(kind: keyof typeof REGISTRY_PROBES, caller: Caller, there: Target): Promise<void> {
  const probesOf = REGISTRY_PROBES[kind]
  const expected = await answers(caller, missing(there), probesOf(missing(there), OWN))
  for (const [name, target] of Object.entries(variants(there))) {
    const probes = probesOf(target, OWN)
    const shown = await answers(caller, target, probes)
    for (const [n, probe] of probes.entries()) {
      assert.deepEqual(shown[n], expected[n], `${name}: ${probe.method} ${probe.target}`)
      const { status = 0 } = shown[n] ?? {}
      assert.ok(status < 500)
      if (probe.target.includes(target.repository) && kind !== 'token' && kind !== 'catalog') {
        assert.ok(status >= 400 || probe.target.includes(`/v2/${OWN}/blobs/uploads/?mount=`), `${status}`)
      }
    }
  }
}

async function answers(caller: Caller, target: Target, probes: readonly Probe[]): Promise<Shown[]> {
  const shown: Shown[] = []
  for (const probe of probes) {
    const answer = await show(
      portOf(world.berth.registryUrl),
      probe,
      world.credentials[caller],
      namesOf(target),
    )
    shown.push(probe.target.startsWith('/auth/token') ? withoutTokens(answer) : answer)
  }
  return shown
}

/** Tokens as what they say; the times in them are those of the request. */
function withoutTokens(shown: Shown): Shown {
  if (shown.status !== 200) return shown
  const body = JSON.parse(shown.body) as Record<string, unknown>
  for (const name of ['token', 'access_token', 'refresh_token']) {
    const token = body[name]
    if (typeof token !== 'string') continue
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as object
    body[name] = { ...claims, iat: 0, nbf: 0, exp: 0, jti: '', length: token.length }
  }
  return { ...shown, body: JSON.stringify(body) }
}

test('the catalog names what the key may pull, on every page, and nothing else', async () => {
  const expected = {
    'key by Basic': [HIDDEN, OWN],
    'key by Bearer': [HIDDEN, OWN],
    'narrow key': [OWN],
    'narrow token': [OWN],
  }
  for (const [caller, names] of Object.entries(expected)) {
    for (const n of [1, 2, 1000]) {
      const pages: string[] = []
      for (let path = `/v2/_catalog?n=${n}`; path !== ''; ) {
        const authorization = world.credentials[caller as Caller] ?? undefined
        const answer = await callFor(200, world.berth, 'GET', path, { authorization })
        pages.push(answer.body.toString(), answer.headers.get('link') ?? '')
        path = /<([^>]+)>/.exec(answer.headers.get('link') ?? '')?.[1] ?? ''
      }
      const shown = new Set([...pages.join(' ').matchAll(/(?:acme|other)\/[a-z]+/g)].map(([name]) => name))
      assert.deepEqual([...shown].sort(), names, `${caller}, n=${n}`)
    }
  }
})

describe('credentials and sessions', () => {
  test("the id of another project's key, with a wrong secret, is no better than an id that nobody has", async () => {
    const guess = (id: string): string => basicAuthorization(keyWithSecret('k', id).text)
    const ask = (id: string): Promise<Shown> =>
      show(portOf(world.berth.registryUrl), { method: 'GET', target: '/v2/' }, guess(id), [id])
    const expected = await ask(mintKeyId())
    assert.equal(expected.status, 401)
    for (const id of [world.foreignKey.id, world.key.id, world.narrowKey.id]) {
      assert.deepEqual(await ask(id), expected)
    }
  })

  test('an upload of another key of the same project does not exist', async () => {
    const { hidden, secondKey } = world
    for (const kind of ['upload-status', 'upload-patch', 'upload-put', 'upload-cancel'] as const) {
      const none = { ...hidden, session: randomUUID() }
      const ask = (target: Target): Promise<Shown[]> =>
        Promise.all(
          REGISTRY_PROBES[kind](target, OWN).map((probe) =>
            show(portOf(world.berth.registryUrl), probe, secondKey.authorization, namesOf(target)),
          ),
        )
      assert.deepEqual(await ask(hidden), await ask(none), kind)
    }
  })

  test("nothing of all this changed the other project's things", async () => {
    const { berth, foreign, foreignKey, hidden, key } = world
    for (const [target, { authorization }] of [
      [foreign, foreignKey],
      [hidden, key],
    ] as const) {
      const path = `/v2/${target.repository}`
      const tags = await callFor(200, berth, 'GET', `${path}/tags/list`, { authorization })
      assert.deepEqual((JSON.parse(tags.body.toString()) as { tags: string[] }).tags, [
        'signature',
        'tag-there',
      ])
      const blob = await callFor(200, berth, 'GET', `${path}/blobs/${target.blob}`, { authorization })
      assert.equal(blobOf(blob.body).digest, target.blob)
      const manifest = await callFor(200, berth, 'GET', `${path}/manifests/tag-there`, { authorization })
      assert.equal(blobOf(manifest.body).digest, target.manifest)
      const upload = await callFor(204, berth, 'GET', `${path}/blobs/uploads/${target.session}`, {
        authorization,
      })
      assert.equal(upload.headers.get('range'), '0-4')
    }
  })
})

describe('content that another project has is new here', () => {
  test('a manifest cannot refer to it', async () => {
    const ask = async (layer: Blob): Promise<Shown> => {
      const image = imageOf(layer)
      await pushBlob(world.berth, world.key, OWN, image.config)
      const probe = {
        method: 'PUT',
        target: `/v2/${OWN}/manifests/stolen`,
        headers: { 'Content-Type': ociManifest },
        body: image.manifest.content,
      }
      return show(portOf(world.berth.registryUrl), probe, world.key.authorization, [layer.digest])
    }
    const { layer } = world.foreignImage
    const expected = await ask(randomBlob(layer.content.byteLength))
    assert.equal(expected.status, 404)
    assert.deepEqual(await ask(layer), expected)
  })

  for (const [what, sizeBytes] of [
    ['in the database', 200],
    ['in the blob store', 300_000],
  ] as const) {
    test(`an upload of it takes every byte and answers the same: ${what}`, async () => {
      const known = randomBlob(sizeBytes)
      await pushBlob(world.berth, world.foreignKey, 'other/secret', known)
      const unknown = randomBlob(sizeBytes)
      const [first, second] = [await uploadSlowly(unknown), await uploadSlowly(known)]
      assert.deepEqual(second, first)
      const usage = async (): Promise<unknown> => (await world.berth.api('GET', '/projects/acme/usage')).body
      const before = (await usage()) as { regions: { usedBytes: number }[] }
      await uploadSlowly(randomBlob(sizeBytes))
      const between = (await usage()) as typeof before
      const alsoKnown = randomBlob(sizeBytes)
      await pushBlob(world.berth, world.foreignKey, 'other/secret', alsoKnown)
      await uploadSlowly(alsoKnown)
      const afterwards = (await usage()) as typeof before
      const used = (answer: typeof before): number => answer.regions[0]?.usedBytes ?? Number.NaN
      assert.equal(used(between) - used(before), sizeBytes)
      assert.equal(used(afterwards) - used(between), sizeBytes, 'charged the same')
    })
  }

  /** Uploads but for the last byte, makes sure that there is no answer yet, and then sends it. */
  async function uploadSlowly(blob: Blob): Promise<Omit<Shown, 'body'>[]> {
    const { berth, key } = world
    const shown: Omit<Shown, 'body'>[] = []
    const path = await openUpload(berth, key, OWN)
    const steps = [
      { method: 'PATCH', target: path, bytes: blob.content.subarray(0, -10) },
      { method: 'PUT', target: `${path}?digest=${blob.digest}`, bytes: blob.content.subarray(-10) },
    ]
    for (const { method, target, bytes } of steps) {
      const connection = await openRawConnection(portOf(berth.registryUrl))
      try {
        connection.send(
          `${method} ${target} HTTP/1.1\r\nHost: ${berth.registryHost}\r\nAuthorization: ${key.authorization}\r\nContent-Length: ${bytes.byteLength}\r\n\r\n`,
        )
        connection.send(bytes.subarray(0, -1))
        for (let i = 0; i < 20; i++) await call(berth, 'HEAD', '/v2/', { authorization: key.authorization })
        assert.equal(connection.reader.receivedBytes, 0, 'answered before the last byte')
        connection.send(bytes.subarray(-1))
        const answer = await connection.readAnswer(method)
        assert.ok(answer.status < 300, answer.body.toString())
        const names = [blob.digest, path.split('/').at(-1) as string]
        const kept = [...answer.headers].filter(([name]) => name !== 'date' && name !== 'x-request-id')
        shown.push({
          status: answer.status,
          headers: kept.map(
            ([name, value]) =>
              `${name}: ${names.reduce((text, part) => text.replaceAll(part, '<name>'), value)}`,
          ),
        })
      } finally {
        connection.destroy()
      }
    }
    return shown
  }
})

describe('the console tells nothing to whoever may not ask', () => {
  for (const id of OPERATION_IDS) {
    test(id, async () => {
      const operation: Operation = OPERATIONS[id]
      const port = portOf(world.berth.consoleUrl)
      const there = paramsThere()
      const none = paramsMissing()
      for (const [caller, authorization] of consoleCallers()) {
        const ask = (params: Readonly<Record<string, string>>): Promise<Shown> =>
          show(port, consoleProbe(operation, params), authorization, Object.values(params))
        const expected = await ask(none)
        assert.equal(expected.status, 401, caller)
        for (const name of Object.keys(there)) {
          const other = { ...none, [name]: there[name] as string }
          assert.deepEqual(await ask(other), expected, `${caller}: ${name}`)
        }
        assert.deepEqual(await ask(there), expected, caller)
      }
    })
  }

  function consoleCallers(): [string, string | null][] {
    const { credentials, key } = world
    return [
      ['anonymous', null],
      ['key by Basic', key.authorization],
      ['key as Bearer', `Bearer ${key.key}`],
      ['token of the registry', credentials['key by Bearer']],
      ['wrong token', 'Bearer berth-operator-of-somebody-else'],
    ]
  }

  function consoleProbe(operation: Operation, params: Readonly<Record<string, string>>): Probe {
    const target = operationUrl(operation, { params })
    if (operation.body === null) return { method: operation.method, target }
    return {
      method: operation.method,
      target,
      headers: { 'Content-Type': 'application/json' },
      body: '{}',
    }
  }

  /**
   * Of each parameter of a path something that is there, or, of what only signed-in people can make, of its form: all of
   * these callers are told 401 before anything is looked up. What people of other projects are told is in the matrix of
   * the console (server/src/control/matrix.test.ts). A new parameter without a value here fails.
   */
  function paramsThere(): Record<string, string> {
    return {
      ...formsOf('a'),
      project: world.foreignProject.namespace,
      registry: `${world.foreignProject.id}-local`,
      key: world.foreignKey.id,
      repository: 'secret',
      tag: 'tag-there',
      reference: world.foreign.manifest,
    }
  }

  function formsOf(letter: string): Record<string, string> {
    const id = letter.repeat(20)
    const people = { session: id, token: id, passkey: id, user: id, invitation: id, requestId: id }
    return { ...people, namespace: id, webhook: id, delivery: id, rule: `rule_${letter.repeat(12)}` }
  }

  function paramsMissing(): Record<string, string> {
    return {
      ...formsOf('b'),
      project: 'nobod',
      registry: 'nobody-local',
      key: mintKeyId(),
      repository: 'absent',
      tag: 'tag-wrong',
      reference: missing(world.foreign).manifest,
    }
  }
})
