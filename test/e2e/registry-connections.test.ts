// @tier full
// @needs docker-registry, openssl
// @stacks sqlite-fs
/*
 * The commands of docs/guides/third-party-registries.md against a running Berth: Docker Hub, GHCR and a custom registry, whose
 * hosts are mapped to docker-registry on loopback. The stored token is in no log and no output, and only where it belongs.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Berth, startBerth } from '../support/berth.ts'
import { type Authority, makeAuthority } from '../support/certificate.ts'
import { temporaryFolder } from '../support/process.ts'
import { startDockerRegistry } from '../support/servers/docker-registry.ts'
import { forwardTo, type Recorder, startRecorder } from '../support/upstream/recorder.ts'
import { assertSecretReached, pushImage, SECRET, USER } from '../support/upstream/stand.ts'
import { startTokenServer, type TokenServer } from '../support/upstream/token-server.ts'

const folder = temporaryFolder('registry-connections')
const cleanup = new AsyncDisposableStack()
let authority: Authority
let tokens: TokenServer
let hub: Recorder
let ghcr: Recorder
let custom: Recorder
let berth: Berth
let printed = ''

before(async () => {
  cleanup.defer(() => folder.remove())
  authority = await makeAuthority(join(folder.path, 'authority'))
  tokens = await startTokenServer({
    tls: await authority.issue(),
    signer: await authority.issue(),
    accounts: { [USER]: { password: SECRET, pull: ['library/alpine', 'team/app'] } },
  })
  cleanup.use(tokens.recorder)
  hub = await frontFor('https://auth.docker.io/token', 'library/alpine')
  ghcr = await frontFor('https://ghcr.io/token', 'team/app')
  custom = await frontFor(`${tokens.recorder.origin}/token`, 'team/app')
  const endpoints = [
    `docker.io=${hub.origin}`,
    `auth.docker.io=${tokens.recorder.origin}`,
    `ghcr.io=${ghcr.origin}`,
  ]
  const env = {
    BERTH_OUTGOING_ALLOW: '127.0.0.1',
    BERTH_OUTGOING_CA_FILE: authority.caFile,
    BERTH_UPSTREAM_ENDPOINTS: endpoints.join(','),
  }
  berth = cleanup.use(await startBerth({ env }))
  await berth.createProject('shop')
})
after(() => cleanup.disposeAsync())

/** A registry that wants tokens, behind a recorder with TLS that also issues what GHCR issues itself. */
async function frontFor(realm: string, repository: string): Promise<Recorder> {
  const { service, issuer } = tokens
  const registry = cleanup.use(
    await startDockerRegistry({ token: { realm, service, issuer, rootCertBundle: authority.caFile } }),
  )
  const access = [{ type: 'repository', name: repository, actions: ['pull', 'push'] }]
  await pushImage(registry.url, repository, 'latest', `Bearer ${await tokens.issue(access)}`)
  const forward = forwardTo(registry.url)
  return cleanup.use(
    await startRecorder(await authority.issue(), (request, response) =>
      request.url.startsWith('/token') ? tokens.respond(request, response) : forward(request, response),
    ),
  )
}

async function run(args: readonly string[], stdin?: string) {
  const env = { BERTH_TOKEN: berth.operatorToken, BERTH_CONSOLE_URL: berth.consoleUrl, BERTH_PROJECT: 'shop' }
  const result = await berth.cli(['registries', ...args], {
    env,
    allowFailure: true,
    ...(stdin === undefined ? {} : { stdin }),
  })
  printed += `${result.stdout}${result.stderr}`
  return result
}

async function tested(slug: string, repository: string) {
  const { stdout } = await run(['test', slug, '--repository', repository, '--json'])
  return JSON.parse(stdout) as { ok: boolean; reason: string | null; message: string }
}

/** Forgets what was received, so that each case stands for itself. */
function forget(): void {
  for (const recorder of [hub, ghcr, custom, tokens.recorder]) recorder.received.length = 0
}

test('Docker Hub: connected and tested; the token reaches its token service only', async () => {
  forget()
  const added = await run(['add', 'docker-hub', '--username', USER, '--password-stdin'], `${SECRET}\n`)
  assert.equal(added.code, 0, added.stderr)
  const report = await tested('docker-hub', 'alpine:latest')
  assert.deepEqual([report.ok, report.reason], [true, null], report.message)
  assertSecretReached([hub, ghcr, custom, tokens.recorder], [tokens.recorder])
})

test('GHCR: the token reaches GHCR only', async () => {
  forget()
  const added = await run(['add', 'ghcr', '--username', USER, '--password-stdin'], SECRET)
  assert.equal(added.code, 0, added.stderr)
  assert.equal((await tested('ghcr', 'team/app:latest')).ok, true)
  assertSecretReached([hub, ghcr, custom, tokens.recorder], [ghcr])
})

test('a custom registry; then another host, for which nothing is stored any more', async () => {
  forget()
  const added = await run(
    ['add', 'custom', '--host', custom.host, '--slug', 'mine', '--username', USER, '--password-stdin'],
    SECRET,
  )
  assert.equal(added.code, 0, added.stderr)
  assert.equal((await tested('mine', 'team/app')).ok, true)
  assert.equal((await tested('mine', 'team/none')).reason, 'rights')
  assertSecretReached([hub, ghcr, custom, tokens.recorder], [tokens.recorder])
  await using other = await startRecorder(await authority.issue(), (_request, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="give it to me"' }).end()
  })
  assert.equal((await run(['update', 'mine', '--host', other.host])).code, 0)
  const report = await tested('mine', 'team/app')
  assert.equal(report.reason, 'credentials', report.message)
  assertSecretReached([other], [])
})

test('a host that no operator allowed is not called', async () => {
  const added = await run(['add', 'custom', '--host', 'localhost:5443', '--slug', 'inner'])
  assert.equal(added.code, 0, added.stderr)
  const report = await tested('inner', 'team/app')
  assert.equal(report.ok, false)
  const metadata = await run(['add', 'custom', '--host', '169.254.169.254', '--slug', 'metadata'])
  assert.equal(metadata.code, 0, metadata.stderr)
  assert.equal((await tested('metadata', 'team/app')).reason, 'refused_address')
})

test('the token is in no log, no output and no answer', async () => {
  const answer = await berth.api('GET', '/projects/shop/registries')
  const events = await berth.api('GET', '/projects/shop/audit-events')
  const basic = Buffer.from(`${USER}:${SECRET}`).toString('base64')
  const all = `${printed}${berth.log()}${JSON.stringify(answer.body)}${JSON.stringify(events.body)}`
  for (const form of [SECRET, encodeURIComponent(SECRET), basic]) assert.ok(!all.includes(form))
  assert.ok(all.includes('docker-hub'), 'there was something to look through')
})
