// @needs docker, skopeo, busybox
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Berth, basicAuthorization, startBerth } from '../support/berth.ts'
import { type Browser, openBrowser } from '../support/console/browser.ts'
import { startGate } from '../support/gate.ts'
import { putBigImage, putBusyboxImage, writeDockerArchive } from '../support/images.ts'
import { createLayout, type Layout } from '../support/layout.ts'
import { runCommand, startProcess, temporaryFolder, waitFor } from '../support/process.ts'
import { fetchTokens } from '../support/raw-client.ts'
import { type Dockerd, startDockerd } from '../support/servers/dockerd.ts'
import { findTool } from '../support/tools.ts'

/*
 * From an empty folder to a team that pushes and pulls in two regions, through the command line, the console's pages and
 * a real docker. Tests build on each other, in this order.
 */

const MIB = 1024 * 1024
const entryPoint = join(import.meta.dirname, '..', '..', 'cli', 'bin', 'berth.js')
const password = 'correct horse battery staple'
const folder = temporaryFolder('control-plane')
let berth: Berth
let engine: Dockerd
let layout: Layout
let browser: Browser

interface Credentials {
  readonly host: string
  readonly username: string
  readonly password: string
}

before(async () => {
  berth = await startBerth({ regions: ['eu', 'us'], env: { BERTH_OPERATOR_TOKEN: undefined } })
  browser = openBrowser(berth.consoleUrl, originOf(berth))
  engine = await startDockerd()
  layout = createLayout(join(folder.path, 'layout'))
  const archive = join(folder.path, 'box.tar')
  writeDockerArchive(
    layout,
    await putBusyboxImage(layout, { seed: 'control plane', tag: 'box' }),
    'box:1',
    archive,
  )
  putBigImage(layout, { seed: 'control plane', tag: 'big', layers: 2, layerSizeBytes: 48 * MIB })
  await engine.docker(['load', '--input', archive])
})

after(async () => {
  await engine?.stop()
  await berth?.[Symbol.asyncDispose]()
  folder.remove()
})

test('the setup link makes the first operator, once', async () => {
  const link = /(\/setup\?token=\S+)/.exec(berth.log())?.[1]
  assert.ok(link, berth.log())
  await browser.get(link)
  const made = await browser.submit({ name: 'Ada', email: 'ada@example.org', password })
  assert.equal(made.status, 200, made.html)
  assert.match(made.html, /Hello Ada/)
  const again = await openBrowser(berth.consoleUrl, originOf(berth)).get(link)
  assert.equal(again.status, 410)
})

test('berth login shows a code; who approves it in the browser is logged in', async () => {
  const login = await startProcess(process.execPath, [entryPoint, 'login', berth.consoleUrl], {
    env: cliEnv(),
  })
  const shown = () => /user_code=(\S+)/.exec(login.output())?.[1]
  await waitFor('the code', async () => shown() !== undefined, 20_000)
  const page = await browser.get(`/device?user_code=${shown() ?? ''}`)
  assert.match(page.html, /Log this device in\?/)
  await browser.submit({ decision: 'approve' }, { action: '/device' })
  assert.equal(await login.exited, 0, login.output())
  const { principal } = await cli<{ principal: { email: string; isOperator: boolean } }>(['whoami'])
  assert.deepEqual([principal.email, principal.isOperator], ['ada@example.org', true])
})

test('a project has a registry in each region, whose credentials are made when asked for', async () => {
  await cli(['projects', 'create', 'Shop', '--namespace', 'shop'])
  const { items } = await cli<{ items: { name: string; provider: string; region: string }[] }>([
    'registries',
    'list',
  ])
  const managed = items.filter(({ provider }) => provider === 'managed').map(({ name }) => name)
  assert.deepEqual(managed, ['Berth Registry (Eu)', 'Berth Registry (Us)'])
  const before = await cliFails(['registries', 'credentials', 'show', 'eu'])
  assert.match(before, /generate/i)
})

for (const region of ['eu', 'us']) {
  test(`${region}: generated credentials log docker in, push and pull`, async () => {
    const {
      host,
      username,
      password: secret,
    } = await cli<Credentials>(['registries', 'credentials', 'generate', region])
    assert.equal(host, hostOf(region))
    const shown = await cli<Credentials>(['registries', 'credentials', 'show', region])
    assert.equal(shown.password, secret)
    await engine.docker(['login', '-u', username, '--password-stdin', host], { stdin: secret })
    const reference = `${host}/shop/web:1`
    await engine.docker(['tag', 'box:1', reference])
    await engine.docker(['push', reference])
    await engine.docker(['rmi', reference])
    await engine.docker(['pull', reference])
    const other = hostOf(region === 'eu' ? 'us' : 'eu')
    assert.equal(await status(other, basicAuthorization(secret)), 401, 'they are of one region only')
  })
}

test('a rotation under a running push does not stop it', async () => {
  const { password: secret } = await cli<Credentials>(['registries', 'credentials', 'show', 'eu'])
  await using gate = await startGate(hostOf('eu'), 20 * MIB)
  const target = `docker://${gate.host}/shop/big:1`
  const push = runCommand(
    findTool('skopeo') ?? 'skopeo',
    ['copy', '--dest-tls-verify=false', '--dest-creds', `api:${secret}`, `oci:${layout.path}:big`, target],
    { allowFailure: true },
  )
  await gate.held
  const rotated = await cli<Credentials>(['registries', 'credentials', 'rotate', 'eu', '--overlap', '1h'])
  assert.notEqual(rotated.password, secret)
  gate.open()
  const { code, stderr } = await push
  assert.equal(code, 0, stderr)
  for (const one of [secret, rotated.password]) {
    assert.equal(await status(hostOf('eu'), basicAuthorization(one), 'big'), 200)
  }
})

test('after a revocation returned, docker and a token that was issued before are refused at once', async () => {
  const { password: secret } = await cli<Credentials>(['registries', 'credentials', 'show', 'eu'])
  const scope = 'repository:shop/web:pull'
  const { authorization: bearer } = await fetchTokens(`http://${hostOf('eu')}`, basicAuthorization(secret), {
    scope,
    offline: false,
  })
  assert.equal(await status(hostOf('eu'), bearer), 200)
  await cli(['registries', 'credentials', 'revoke', 'eu', '--yes'])
  assert.equal(await status(hostOf('eu'), bearer), 401)
  assert.equal(await status(hostOf('eu'), basicAuthorization(secret)), 401)
  const pull = await engine.docker(['pull', `${hostOf('eu')}/shop/web:1`], { allowFailure: true })
  assert.notEqual(pull.code, 0)
  assert.match(pull.stderr, /unauthorized|denied/)
  assert.equal(
    (await engine.docker(['pull', `${hostOf('us')}/shop/web:1`])).code,
    0,
    'the other region goes on',
  )
})

test('a project that is renamed is pulled from as before', async () => {
  const reference = `${hostOf('us')}/shop/web:1`
  const renamed = await cli<{ name: string; namespace: string }>([
    'projects',
    'rename',
    'shop',
    'Another name',
  ])
  assert.deepEqual([renamed.name, renamed.namespace], ['Another name', 'shop'])
  await engine.docker(['rmi', reference])
  await engine.docker(['pull', reference])
})

test('the audit log tells of all of it, and its chain is whole', async () => {
  const { items } = await cli<{ items: { action: string; actor: string }[] }>(['audit', 'list', '--all'])
  const actions = new Set(items.map(({ action }) => action))
  for (const action of ['project.create', 'registry_credential.shown', 'manifest.push']) {
    assert.ok(actions.has(action), `${action} in ${[...actions].join(', ')}`)
  }
  await cli(['audit', 'verify'])
})

function cliEnv(): Record<string, string | undefined> {
  return { PATH: process.env['PATH'], HOME: folder.path, BERTH_PROJECT: 'shop' }
}

async function cli<Answer>(args: readonly string[]): Promise<Answer> {
  const { stdout } = await runCommand(process.execPath, [entryPoint, ...args, '--json'], { env: cliEnv() })
  return (stdout.trim() === '' ? null : JSON.parse(stdout)) as Answer
}

async function cliFails(args: readonly string[]): Promise<string> {
  const { code, stderr } = await runCommand(process.execPath, [entryPoint, ...args], {
    env: cliEnv(),
    allowFailure: true,
  })
  assert.notEqual(code, 0)
  return stderr
}

function hostOf(region: string): string {
  return berth.regionHosts.get(region) ?? ''
}

/** Pages know the console by its own URL, which has a name and not an address. */
function originOf({ log }: Berth): string {
  return /Console +(\S+)/.exec(log())?.[1] ?? ''
}

async function status(host: string, authorization: string, repository = 'web'): Promise<number> {
  const url = `http://${host}/v2/shop/${repository}/manifests/1`
  return (await fetch(url, { headers: { authorization } })).status
}
