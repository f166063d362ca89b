/**
 * Canary secrets go through a session with failures of every kind, at the most talkative log level, over several
 * processes, one of them killed. Afterwards none of them is anywhere: not in logs, metrics, answers, databases, files,
 * arguments or environments.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { basicAuthorization, type Berth } from '../support/berth.ts'
import { temporaryFolder } from '../support/process.ts'
import { currentStack, stackEnvironment } from '../support/stack.ts'
import {
  type Canary,
  canary,
  filesBelow,
  findCanaries,
  keyCanaries,
  processTexts,
  readIfThere,
  rootKeyCanary,
  tokenCanaries,
} from './canaries.ts'
import { databaseTables } from './database-tables.ts'
import { call, callFor, openUpload, pushBlob, randomBlob, startHostileBerth, tokenFor } from './fixture.ts'
import { AREAS, prepareFixture, REGIONS, sendRow } from './malformed/areas.ts'
import type { Fixture } from './malformed/row.ts'

const databasePassword = `dbpass${randomBytes(12).toString('hex')}`
const rootKey = randomBytes(32).toString('base64')

const canaries: Canary[] = [canary('database password', databasePassword), rootKeyCanary('root key', rootKey)]
/** What the server showed or wrote, by name. */
const shown: [where: string, content: Buffer | string][] = []

let berth: Berth
let fixture: Fixture
let secretFolder: { path: string; remove(): void }
let temporary: { path: string; remove(): void }
let databaseUrl: string | null = null
let settings: Readonly<Record<string, string | undefined>>

before(async () => {
  secretFolder = temporaryFolder('secrets')
  temporary = temporaryFolder('tmpdir')
  settings = await secretEnvironment()
  berth = await startHostileBerth({
    regions: REGIONS,
    env: {
      ...settings,
      TMPDIR: temporary.path,
      BERTH_LOG_LEVEL: 'debug',
    },
  })
  canaries.push(canary('operator token', berth.operatorToken))
  // Only the first process of these tests got the token by its environment.
  await berth.restart({
    BERTH_OPERATOR_TOKEN: undefined,
    BERTH_OPERATOR_TOKEN_FILE: secretFile('operator-token', berth.operatorToken),
  })
  fixture = await prepareFixture(berth)
  canaries.push(
    ...keyCanaries('API key', fixture.keyText),
    ...tokenCanaries('access token', fixture.accessToken),
    ...tokenCanaries('refresh token', fixture.refreshToken),
  )
})
after(async () => {
  await berth?.[Symbol.asyncDispose]()
  temporary?.remove()
  secretFolder?.remove()
})

/** Every secret by its file, as careful operators pass them. */
async function secretEnvironment(): Promise<Record<string, string | undefined>> {
  const environment: Record<string, string | undefined> = {
    BERTH_ROOT_KEY_FILE: secretFile('root-key', rootKey),
  }
  const ofStack = await stackEnvironment(currentStack())
  const { BERTH_DATABASE_URL: url, BERTH_S3_SECRET_ACCESS_KEY: s3Secret } = ofStack
  Object.assign(environment, ofStack)
  if (url !== undefined && s3Secret !== undefined) {
    databaseUrl = url.replace('postgres@', `postgres:${databasePassword}@`)
    canaries.push(canary('S3 secret', s3Secret))
    environment['BERTH_DATABASE_URL'] = undefined
    environment['BERTH_DATABASE_URL_FILE'] = secretFile('database-url', databaseUrl)
    environment['BERTH_S3_SECRET_ACCESS_KEY'] = undefined
    environment['BERTH_S3_SECRET_ACCESS_KEY_FILE'] = secretFile('s3-secret', s3Secret)
  }
  return environment
}

function secretFile(name: string, secret: string): string {
  const path = join(secretFolder.path, name)
  writeFileSync(path, `${secret}\n`, { mode: 0o600 })
  return path
}

async function ask(...args: Parameters<typeof call>): Promise<number> {
  const answer = await call(...args)
  if (answer.status >= 400) {
    const headers = JSON.stringify([...answer.headers])
    shown.push([`the answer to ${args[1]} ${args[2]}`, `${headers}\n${answer.body.toString('latin1')}`])
  }
  return answer.status
}

test('a session in which nothing goes wrong', async () => {
  const { registryUrl } = berth
  const authorization = fixture.basic
  const project = fixture.projectId
  const created = await berth.createKey(project, { name: 'second', actions: ['pull', 'push', 'delete'] })
  canaries.push(...keyCanaries('second API key', created.key))
  const rotated = await berth.api('POST', `/projects/${project}/api-keys/${created.id}/rotate`, {
    overlapSeconds: 60,
  })
  assert.equal(rotated.status, 200)
  const { key: rotatedKey } = rotated.body as { key: string }
  canaries.push(...keyCanaries('rotated API key', rotatedKey))
  for (const key of [created.key, rotatedKey]) {
    assert.equal(await ask({ registryUrl }, 'GET', '/v2/', { authorization: basicAuthorization(key) }), 200)
  }
  const { token, refreshToken } = await tokenFor(
    berth,
    { authorization: basicAuthorization(rotatedKey) },
    ['repository:acme/web:pull,push,delete'],
    { offline: true },
  )
  canaries.push(
    ...tokenCanaries('second access token', token),
    ...tokenCanaries('second refresh token', refreshToken ?? ''),
  )
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: refreshToken ?? '',
    scope: 'repository:acme/web:pull,push',
  })
  const refreshed = await callFor(200, berth, 'POST', '/auth/token', {
    body: form.toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  const { token: third } = JSON.parse(refreshed.body.toString()) as { token: string }
  canaries.push(...tokenCanaries('refreshed access token', third))
  await pushBlob(berth, { authorization: `Bearer ${third}` }, 'acme/web', randomBlob(70_000))
  for (const path of [
    '/projects',
    `/projects/${project}/api-keys`,
    '/audit-events',
    '/gc',
    '/regions',
    '/whoami',
  ]) {
    const answer = await berth.api('GET', path)
    assert.equal(answer.status, 200, path)
    shown.push([`GET ${path}`, JSON.stringify(answer.body)])
  }
  assert.equal(await ask(berth, 'GET', '/v2/acme/web/tags/list', { authorization }), 200)
})

test('a session in which everything goes wrong', async () => {
  for (const row of Object.values(AREAS).flat()) {
    const { answer, connection } = await sendRow(row, fixture)
    connection.destroy()
    if (row.code === null) continue
    const headers = JSON.stringify([...answer.headers])
    shown.push([`the answer to "${row.name}"`, `${headers}\n${answer.body.toString('latin1')}`])
  }
  for (const path of [`/v2/?token=${fixture.accessToken}`, `/auth/token?password=${fixture.keyText}`]) {
    await ask(berth, 'GET', path)
  }
  const { consoleUrl } = berth
  for (const path of [`/api/v1/whoami?token=${berth.operatorToken}`, `/setup?token=${berth.operatorToken}`]) {
    // What the client wrote into its own URL is its own; the log must not repeat it.
    await call({ registryUrl: consoleUrl }, 'GET', path)
  }
})

test('too many failed logins', async () => {
  const authorization = basicAuthorization(`${fixture.keyText.slice(0, -1)}!`)
  const headers = { 'x-forwarded-for': '203.0.113.9' }
  const statuses: number[] = []
  for (let i = 0; i < 12; i++) statuses.push(await ask(berth, 'GET', '/v2/', { authorization, headers }))
  assert.equal(statuses.at(-1), 429)
})

test('a store that fails', async () => {
  const authorization = fixture.basic
  const restore = currentStack() === 'sqlite-fs' ? breakBlobFolder() : await breakDatabase()
  const statuses: number[] = []
  for (let i = 0; i < 20 && !statuses.some((status) => status >= 500); i++) {
    const blob = randomBlob(200_000)
    statuses.push(
      await ask(berth, 'POST', `/v2/acme/web/blobs/uploads/?digest=${blob.digest}`, {
        authorization,
        body: new Uint8Array(blob.content),
      }),
      await ask(berth, 'GET', `/v2/acme/web/blobs/${fixture.bigLayer.digest}`, { authorization }),
    )
  }
  await restore()
  assert.ok(
    statuses.some((status) => status >= 500),
    `nothing failed: ${statuses.join(' ')}`,
  )
  await pushBlob(berth, { authorization }, 'acme/web', randomBlob(200_000))
})

/** A file where the folder of the blobs was. */
function breakBlobFolder(): () => Promise<void> {
  const folder = join(berth.dataDir, 'regions', 'local', 'blobs')
  renameSync(folder, `${folder}.away`)
  writeFileSync(folder, 'not a folder')
  return async () => {
    rmSync(folder)
    renameSync(`${folder}.away`, folder)
  }
}

/** Nobody may connect to the database any more, and who is connected is cut off. */
async function breakDatabase(): Promise<() => Promise<void>> {
  const url = new URL(databaseUrl ?? '')
  const name = url.pathname.slice(1)
  url.pathname = '/postgres'
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  await client.query(`ALTER DATABASE ${pg.escapeIdentifier(name)} ALLOW_CONNECTIONS false`)
  await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name])
  return async () => {
    await client.query(`ALTER DATABASE ${pg.escapeIdentifier(name)} ALLOW_CONNECTIONS true`)
    await client.end()
  }
}

test('a process that is killed in the middle of an upload, and one that starts again', async () => {
  const path = await openUpload(berth, { authorization: fixture.basic }, 'acme/web')
  await callFor(202, berth, 'PATCH', path, {
    authorization: fixture.basic,
    body: new Uint8Array(randomBlob(100_000).content),
  })
  await lookAtProcess('first process')
  await berth.kill9()
  shown.push(['log of the first process', berth.log()])
  await berth.restart({
    BERTH_OPERATOR_TOKEN: undefined,
    BERTH_OPERATOR_TOKEN_FILE: join(secretFolder.path, 'operator-token'),
  })
  assert.equal(await ask(berth, 'GET', '/v2/acme/web/tags/list', { authorization: fixture.basic }), 200)
  await lookAtProcess('second process')
})

async function lookAtProcess(name: string): Promise<void> {
  // Loopback is a trusted proxy in this configuration, so it needs the token like everybody else.
  const authorization = `Bearer ${berth.operatorToken}`
  const metrics = await callFor(200, berth, 'GET', '/metrics', { authorization })
  const ready = await callFor(200, berth, 'GET', '/readyz', { authorization })
  shown.push([`metrics of the ${name}`, metrics.body], [`readiness of the ${name}`, ready.body])
  for (const { pid, cmdline, environ } of processTexts(berth.pid)) {
    shown.push([`arguments of process ${pid}`, cmdline], [`environment of process ${pid}`, environ])
  }
}

test('starts that fail name no secret', async () => {
  const wrong = `canary${randomBytes(12).toString('hex')}`
  canaries.push(canary('secret of a wrong configuration', wrong))
  const files = temporaryFolder('wrong')
  const file = join(files.path, 'file')
  writeFileSync(file, wrong)
  const closedPort = '127.0.0.1:1'
  const s3 = { BERTH_S3_BUCKET: 'b', BERTH_S3_ENDPOINT: `http://${closedPort}`, BERTH_S3_ACCESS_KEY_ID: 'a' }
  const wrongs: Record<string, Record<string, string>> = {
    'an unreachable database': { BERTH_DATABASE_URL: `postgres://u:${wrong}@${closedPort}/x` },
    'a database URL that is none': { BERTH_DATABASE_URL: `http://u:${wrong}@${closedPort}/x` },
    'a database URL with a bad port': { BERTH_DATABASE_URL: `postgres://u:${wrong}@localhost:port/x` },
    'a database URL with bad escapes': { BERTH_DATABASE_URL: `postgres://u:${wrong}%zz@${closedPort}/x` },
    'a root key that is none': { BERTH_ROOT_KEY: wrong },
    'a root key file that has none': { BERTH_ROOT_KEY_FILE: file },
    'an operator token with a space': { BERTH_OPERATOR_TOKEN: `${wrong} x` },
    'an operator token twice': { BERTH_OPERATOR_TOKEN: wrong, BERTH_OPERATOR_TOKEN_FILE: file },
    'a secret in the name of a variable that does not exist': { BERTH_S3_SECRET: wrong },
    'an S3 endpoint that is none': {
      ...s3,
      BERTH_S3_ENDPOINT: `://${wrong}`,
      BERTH_S3_SECRET_ACCESS_KEY: 'x',
    },
    'an S3 store that is not there': { ...s3, BERTH_S3_SECRET_ACCESS_KEY: wrong },
  }
  for (const [name, env] of Object.entries(wrongs)) {
    const folder = join(files.path, name.replaceAll(' ', '-'))
    mkdirSync(folder)
    const clean = Object.fromEntries(Object.keys(settings).map((key) => [key, undefined]))
    const result = await berth.cli(['serve'], {
      env: {
        ...clean,
        BERTH_OPERATOR_TOKEN_FILE: undefined,
        BERTH_LOG_LEVEL: 'debug',
        BERTH_DATA_DIR: folder,
        ...env,
      },
      allowFailure: true,
      timeoutMs: 60_000,
    })
    assert.notEqual(result.code, 0, name)
    shown.push([`start with ${name}`, `${result.stdout}\n${result.stderr}`])
  }
  files.remove()
})

test('what an operator is shown of the configuration', async () => {
  const env = { BERTH_LOG_LEVEL: 'debug' }
  for (const args of [['config', 'print'], ['fsck'], ['--help'], ['config']]) {
    const result = await berth.cli(args, { env, allowFailure: true })
    if (args[1] === 'print') assert.match(result.stdout, /^dataDir: /m, result.stderr)
    shown.push([`berth ${args.join(' ')}`, `${result.stdout}\n${result.stderr}`])
  }
})

test('none of the secrets was shown', async () => {
  await berth.stop()
  shown.push(['log of the second process', berth.log()])
  const logs = shown.filter(([where]) => where.startsWith('log of')).map(([, content]) => content.toString())
  assert.ok(logs.join('').includes('"level":"debug"'), 'the log is at debug level')
  assert.ok(logs.join('').includes('request failed'), 'something failed')
  assert.ok(shown.length > 500, `${shown.length} things were shown`)
  assert.deepEqual(
    shown.flatMap(([where, content]) => findCanaries(canaries, where, content)),
    [],
  )
})

test('none of the secrets is in a file or in the database', async () => {
  const names = [berth.dataDir, temporary.path].flatMap(filesBelow)
  const files = names.map((name): [string, Buffer] => [name, readIfThere(name)])
  if (currentStack() === 'sqlite-fs') {
    assert.ok(
      files.some(([, bytes]) => bytes.includes(fixture.keyId)),
      'the files are those of the database',
    )
  } else {
    await lookAtDatabase()
  }
  assert.deepEqual(
    files.flatMap(([name, bytes]) => findCanaries(canaries, name, bytes)),
    [],
  )
  assert.deepEqual(
    names.filter((name) => /(^|\/)core(\.\d+)?$|\.heapsnapshot$|report\..*\.json$/.test(name)),
    [],
    'no memory of a process',
  )
})

async function lookAtDatabase(): Promise<void> {
  const tables = await databaseTables(databaseUrl ?? '')
  assert.ok(
    tables.some(([, content]) => content.includes(fixture.keyId)),
    'the tables are those of Berth',
  )
  assert.deepEqual(
    tables.flatMap(([name, content]) => findCanaries(canaries, name, content)),
    [],
  )
}

test('the search finds each canary in each of its spellings', () => {
  for (const { name, spellings } of canaries) {
    for (const spelling of spellings) {
      assert.ok(spelling.byteLength >= 8, name)
      const around = Buffer.concat([Buffer.from('before'), spelling, Buffer.from('after')])
      assert.ok(findCanaries(canaries, 'x', around).includes(`${name} in x`), name)
    }
  }
  const basic = Buffer.from(fixture.basic.slice('Basic '.length))
  assert.ok(findCanaries(canaries, 'x', basic).includes('API key in x'), 'inside of base64')
})
