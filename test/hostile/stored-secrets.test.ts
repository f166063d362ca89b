/**
 * Secrets that Berth keeps for its users: they are readable after any number of killed re-keyings, and a copy of the
 * databases without the root key, the logs, the answers and the arguments of processes show none of them.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { basicAuthorization, type Berth } from '../support/berth.ts'
import { temporaryFolder, waitFor } from '../support/process.ts'
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
} from './canaries.ts'
import { databaseTables } from './database-tables.ts'
import { call, startHostileBerth, tokenFor } from './fixture.ts'

const PROJECTS = 30
const KILLS = 3
const rootKey = randomBytes(32).toString('base64')
const nextRootKey = randomBytes(32).toString('base64')
const canaries: Canary[] = [rootKeyCanary('root key', rootKey), rootKeyCanary('next root key', nextRootKey)]
const shown: [where: string, content: Buffer | string][] = []

interface Managed {
  readonly project: string
  readonly registry: string
  readonly password: string
}
interface Registry {
  readonly id: string
  readonly slug: string | null
  readonly region: string | null
}

let berth: Berth
let files: { path: string; remove(): void }
let stackSettings: Readonly<Record<string, string | undefined>>
const managed: Managed[] = []
let tokenBefore: string

before(async () => {
  files = temporaryFolder('stored-secrets')
  stackSettings = await stackEnvironment(currentStack())
  berth = await startHostileBerth({
    env: {
      ...stackSettings,
      BERTH_ROOT_KEY_FILE: secretFile('root', rootKey),
      BERTH_LOG_LEVEL: 'debug',
    },
  })
})
after(async () => {
  await berth?.[Symbol.asyncDispose]()
  files?.remove()
})

function secretFile(name: string, secret: string): string {
  const path = join(files.path, name)
  writeFileSync(path, `${secret}\n`, { mode: 0o600 })
  return path
}

async function ask<Body>(method: string, path: string, body?: unknown, keep = true): Promise<Body> {
  const answer = await berth.api(method, path, body)
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  if (keep) shown.push([`${method} ${path}`, JSON.stringify(answer.body)])
  return answer.body as Body
}

function secret(name: string): string {
  const text = `${name}-${randomBytes(18).toString('base64url')}`
  canaries.push(canary(name, text))
  return text
}

async function registriesOf(project: string): Promise<Registry[]> {
  return (await ask<{ items: Registry[] }>('GET', `/projects/${project}/registries`)).items
}

test('logins of third-party registries go in by API, standard input and environment', async () => {
  await berth.createProject('acme')
  const path = '/projects/acme/registries'
  const hub = await ask<Registry>('POST', path, {
    provider: 'docker_hub',
    username: 'alice',
    password: secret('first Hub password'),
  })
  const second = { username: 'alice', password: secret('second Hub password') }
  await ask('PATCH', `${path}/${hub.id}`, second)
  const env = { BERTH_CONSOLE_URL: berth.consoleUrl, BERTH_TOKEN: berth.operatorToken, BERTH_PROJECT: 'acme' }
  const runs: [args: string[], stdin: string | undefined, env: Record<string, string>][] = [
    [['registries', 'add', 'ghcr', '--username', 'bob', '--password-stdin'], `${secret('GHCR token')}\n`, {}],
    [
      ['registries', 'add', 'custom', '--host', '10.9.8.7:5000', '--slug', 'own', '--username', 'carol'],
      undefined,
      { BERTH_REGISTRY_PASSWORD: secret('custom password') },
    ],
    [['registries', 'test', 'own'], undefined, {}],
    [['registries', 'show', 'own', '--json'], undefined, {}],
    [['registries', 'list'], undefined, {}],
    [['registries', 'update', 'own', '--host', '10.9.8.8:5000'], undefined, {}],
    [['registries', 'add', 'ghcr', '--password', secret('password as an argument')], undefined, {}],
  ]
  for (const [args, stdin, more] of runs) {
    const options = { env: { ...env, ...more }, allowFailure: true }
    const result = await berth.cli(args, stdin === undefined ? options : { ...options, stdin })
    const isMistake = args.includes('--password')
    // Its own mistake is repeated to the one who made it, and to nobody else.
    if (!isMistake) shown.push([`berth ${args.slice(0, 3).join(' ')}`, result.stdout + result.stderr])
    const fails = isMistake || args[1] === 'test'
    assert.equal(result.code === 0, !fails, `${args.join(' ')}: ${result.stderr}`)
    if (args[1] === 'test') assert.match(result.stdout + result.stderr, /10\.9\.8\.7/)
    if (args[1] === 'update') assert.match(result.stderr, /belonged to 10\.9\.8\.7:5000 and was removed/)
  }
  const slugs = new Set((await registriesOf('acme')).map(({ slug }) => slug))
  assert.deepEqual(slugs, new Set([null, 'docker-hub', 'ghcr', 'own']))
})

test('credentials of managed registries are made in many projects', async () => {
  for (let i = 0; i < PROJECTS; i++) {
    const project = `managed-${i}`
    await berth.createProject(project)
    const [registry] = await registriesOf(project)
    const path = `/projects/${project}/registries/${registry?.id ?? ''}/credentials`
    const made = await ask<{ password: string }>('POST', path, undefined, false)
    const { password } = i % 2 === 0 ? made : await ask<typeof made>('POST', `${path}/rotate`, {}, false)
    canaries.push(...keyCanaries(`credential ${i}`, made.password), ...keyCanaries(`kept ${i}`, password))
    managed.push({ project, registry: registry?.id ?? '', password })
  }
  tokenBefore = await token()
  await expectAllReadable('before')
})

async function token(): Promise<string> {
  const { password, project } = managed[0] ?? assert.fail()
  const authorization = basicAuthorization(password)
  return (await tokenFor(berth, { authorization }, [`repository:${project}/web:pull,push`])).token
}

async function expectAllReadable(when: string): Promise<void> {
  for (const { project, registry, password } of managed) {
    const path = `/projects/${project}/registries/${registry}/credentials`
    const answer = await ask<{ password: string }>('GET', path, undefined, false)
    assert.equal(answer.password, password, `${project} ${when}`)
    const authorization = basicAuthorization(password)
    assert.equal((await call(berth, 'GET', '/v2/', { authorization })).status, 200, `${project} ${when}`)
  }
}

test('a change of the root key and of all project keys goes on after each kill', async () => {
  const both = {
    BERTH_ROOT_KEY_FILE: secretFile('next-root', nextRootKey),
    BERTH_ROOT_KEY_PREVIOUS_FILE: join(files.path, 'root'),
  }
  await berth.restart(both)
  await expectAllReadable('with both root keys')
  let unfinished = 0
  for (let kill = 1; kill <= KILLS; kill++) {
    const cli = berth.cli(['vault', 'rekey', '--json'], { env: operatorEnv(), allowFailure: true })
    const seen = () => berth.log().split('a secret was sealed anew').length - 1
    // At another place each time. The command ends by itself when the work is done before.
    await Promise.race([waitFor('the re-keying', async () => seen() >= kill, 20_000), cli])
    await lookAtProcess(`process ${kill}`)
    await berth.kill9()
    shown.push([`log of process ${kill}`, berth.log()])
    const { stdout, stderr } = await cli
    shown.push([`berth vault rekey ${kill}`, stdout + stderr])
    await berth.restart(both)
    await expectAllReadable(`after kill ${kill}`)
    const status = await ask<{ projectKeys: { startedAt: string | null } }>('GET', '/vault')
    if (status.projectKeys.startedAt !== null) unfinished += 1
  }
  assert.ok(unfinished > 0, 'a kill came in the middle')
  const done = await berth.cli(['vault', 'rekey', '--json'], { env: operatorEnv() })
  const report = JSON.parse(done.stdout) as {
    done: boolean
    unreadable: unknown[]
    rootKey: { canForgetPrevious: boolean }
  }
  assert.deepEqual([report.done, report.unreadable, report.rootKey.canForgetPrevious], [true, [], true])
  await expectAllReadable('after the re-keying')
})

function operatorEnv() {
  return { BERTH_CONSOLE_URL: berth.consoleUrl, BERTH_TOKEN: berth.operatorToken }
}

async function lookAtProcess(name: string): Promise<void> {
  for (const { pid, cmdline, environ } of processTexts(berth.pid)) {
    shown.push([`arguments of ${name} ${pid}`, cmdline], [`environment of ${name} ${pid}`, environ])
  }
}

test('afterwards the new root key is enough, tokens from before work, and the old root key opens nothing', async () => {
  await berth.restart({ BERTH_ROOT_KEY_FILE: join(files.path, 'next-root') })
  await expectAllReadable('with the new root key alone')
  const { project } = managed[0] ?? assert.fail()
  const answer = await call(berth, 'GET', `/v2/${project}/web/tags/list`, {
    authorization: `Bearer ${tokenBefore}`,
  })
  assert.equal(answer.status, 404, 'the token is accepted, and there is no such repository')
  const status = await berth.cli(['vault', 'status'], { env: operatorEnv() })
  shown.push(['berth vault status', status.stdout + status.stderr])
  await berth.stop()
  shown.push(['log of the last process', berth.log()])
  const wrong = await berth.cli(['serve'], {
    env: { BERTH_ROOT_KEY_FILE: join(files.path, 'root') },
    allowFailure: true,
    timeoutMs: 60_000,
  })
  assert.equal(wrong.code, 1)
  assert.match(wrong.stderr, /^The root key does not match this installation/m)
  shown.push(['a start with the old root key', wrong.stdout + wrong.stderr])
})

test('a copy of the databases shows none of the secrets, and neither does anything else', async () => {
  assert.ok(canaries.length > PROJECTS * 3, `${canaries.length} canaries`)
  const { project } = managed[0] ?? assert.fail()
  const copies: [string, Buffer | string][] = filesBelow(berth.dataDir).map((name) => [
    name,
    readIfThere(name),
  ])
  const url = stackSettings['BERTH_DATABASE_URL']
  if (url !== undefined) copies.push(...(await databaseTables(url)))
  assert.ok(
    copies.some(([, content]) => content.includes(project)),
    'the copies are of the database',
  )
  assert.deepEqual(
    [...copies, ...shown].flatMap(([where, content]) => findCanaries(canaries, where, content)),
    [],
  )
})
