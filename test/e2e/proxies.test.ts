// @needs nginx, caddy
// @stacks sqlite-fs
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { copyFileSync, readFileSync, statSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import tls from 'node:tls'
import { type Berth, startBerth } from '../support/berth.ts'
import { type Certificate, makeCertificate } from '../support/certificate.ts'
import { seededBytes } from '../support/images.ts'
import { freePort, temporaryFolder, waitFor } from '../support/process.ts'
import { startCaddy } from '../support/servers/caddy.ts'
import { startNginx } from '../support/servers/nginx.ts'

const deploy = join(import.meta.dirname, '..', '..', 'deploy')
const MIB = 1024 * 1024
const content = seededBytes('proxies', 24 * MIB)
const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`

interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Buffer
}

interface Call {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: Buffer | readonly Buffer[]
}

/** One HTTPS request to a proxy on loopback; an array of buffers is sent chunked. */
function call(
  port: number,
  path: string,
  { method = 'GET', headers = {}, body }: Call = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = Buffer.isBuffer(body) ? { 'content-length': String(body.length) } : {}
    const options = {
      host: '127.0.0.1',
      port,
      path,
      method,
      headers: { host: `127.0.0.1:${port}`, ...length, ...headers },
    }
    const request = https.request({ ...options, rejectUnauthorized: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      )
    })
    request.on('error', reject)
    if (body !== undefined) for (const chunk of Buffer.isBuffer(body) ? [body] : body) request.write(chunk)
    request.end()
  })
}

/** Signs in through the proxy as docker does, pushes a blob in two ways and pulls it; answers the last GET. */
async function pushAndPull(berth: Berth, port: number): Promise<Answer> {
  await berth.createProject('shop')
  const { authorization } = await berth.createKey('shop')
  const challenge = await call(port, '/v2/')
  assert.equal(challenge.status, 401)
  assert.match(
    String(challenge.headers['www-authenticate']),
    new RegExp(`realm="https://127.0.0.1:${port}/auth/token"`),
    'the realm has the scheme and host that the client uses',
  )
  const scope = encodeURIComponent('repository:shop/app:pull,push')
  const token = await call(port, `/auth/token?service=127.0.0.1:${port}&scope=${scope}`, {
    headers: { authorization },
  })
  assert.equal(token.status, 200)
  const bearer = { authorization: `Bearer ${(JSON.parse(token.body.toString()) as { token: string }).token}` }

  const session = await call(port, '/v2/shop/app/blobs/uploads/', {
    method: 'POST',
    headers: bearer,
    body: Buffer.alloc(0),
  })
  assert.equal(session.status, 202)
  const location = new URL(String(session.headers['location']), `https://127.0.0.1:${port}`)
  assert.equal(location.host, `127.0.0.1:${port}`, 'the location leads back through the proxy')
  const chunks = [content.subarray(0, 10 * MIB), content.subarray(10 * MIB)]
  const patch = await call(port, location.pathname + location.search, {
    method: 'PATCH',
    headers: { ...bearer, 'content-type': 'application/octet-stream' },
    body: chunks,
  })
  assert.equal(patch.status, 202)
  const next = new URL(String(patch.headers['location']), location)
  next.searchParams.set('digest', digest)
  const put = await call(port, next.pathname + next.search, {
    method: 'PUT',
    headers: bearer,
    body: Buffer.alloc(0),
  })
  assert.equal(put.status, 201)

  const monolithic = await call(port, `/v2/shop/other/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/octet-stream' },
    body: content,
  })
  assert.equal(monolithic.status, 201)
  return call(port, `/v2/shop/app/blobs/${digest}`, { headers: bearer })
}

async function berthBehind(t: TestContext, port: number, more: Record<string, string> = {}): Promise<Berth> {
  const berth = await startBerth({
    test: t,
    env: { BERTH_TRUSTED_PROXIES: '127.0.0.1/32', ...more },
    regionHost: `127.0.0.1:${port}`,
  })
  return berth
}

/** The shipped configuration with this test's ports, certificate and paths. */
function nginxConfiguration(
  berth: Berth,
  port: number,
  certificate: Certificate,
  consolePort: number,
): string {
  return readFileSync(join(deploy, 'nginx', 'berth.conf'), 'utf8')
    .replaceAll('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replaceAll('/etc/berth/tls/fullchain.pem', certificate.certFile)
    .replaceAll('/etc/berth/tls/privkey.pem', certificate.keyFile)
    .replace('127.0.0.1:5000', new URL(berth.registryUrl).host)
    .replace('127.0.0.1:8080', new URL(berth.consoleUrl).host)
    .replace('server_name registry.example.com', 'server_name 127.0.0.1')
    .replace(
      `listen 127.0.0.1:${port} ssl;\n    server_name console`,
      `listen 127.0.0.1:${consolePort} ssl;\n    server_name console`,
    )
}

function workspace(t: TestContext): string {
  const folder = temporaryFolder('proxies')
  t.after(() => folder.remove())
  return folder.path
}

test('behind nginx as shipped: sign-in, large bodies and long uploads, and the console', async (t) => {
  const [port, consolePort] = [await freePort(), await freePort()]
  const berth = await berthBehind(t, port)
  const certificate = await makeCertificate(workspace(t), 'nginx')
  const nginx = await startNginx({ http: nginxConfiguration(berth, port, certificate, consolePort), port })
  t.after(() => nginx.stop())
  const pulled = await pushAndPull(berth, port)
  assert.equal(pulled.status, 200)
  assert.ok(pulled.body.equals(content))
  const projects = await call(consolePort, '/api/v1/projects', {
    headers: { authorization: `Bearer ${berth.operatorToken}` },
  })
  assert.equal(projects.status, 200)
})

test('nginx sends blobs itself when Berth says so, and never without', async (t) => {
  const [port, consolePort] = [await freePort(), await freePort()]
  const berth = await berthBehind(t, port, { BERTH_BLOB_DELIVERY: 'accel' })
  const certificate = await makeCertificate(workspace(t), 'nginx')
  const accel = readFileSync(join(deploy, 'nginx', 'berth-accel.conf'), 'utf8').replace(
    '/var/lib/berth/regions/',
    join(berth.dataDir, 'regions/'),
  )
  const configuration = nginxConfiguration(berth, port, certificate, consolePort).replace(
    '    location / {',
    `${accel}\n    location / {`,
  )
  const nginx = await startNginx({ http: configuration, port })
  t.after(() => nginx.stop())

  const pulled = await pushAndPull(berth, port)
  assert.equal(pulled.status, 200)
  assert.ok(pulled.body.equals(content))
  assert.equal(pulled.headers['docker-content-digest'], digest)
  assert.equal(pulled.headers['content-type'], 'application/octet-stream')
  assert.equal(pulled.headers['etag'], `"${digest}"`)
  assert.equal(pulled.headers['x-accel-redirect'], undefined, 'the inner path is not shown')
  const direct = await fetch(`${berth.registryUrl}/v2/shop/app/blobs/${digest}`, {
    headers: { authorization: (await berth.createKey('shop')).authorization },
  })
  const inner = direct.headers.get('x-accel-redirect') ?? ''
  assert.match(inner, /^\/_berth\/blobs\/local\//, 'it was nginx that sent the bytes')
  assert.equal((await call(port, inner)).status, 404, 'nobody reaches the files from outside')

  const { authorization } = await berth.createKey('shop')
  const part = await call(port, `/v2/shop/app/blobs/${digest}`, {
    headers: { authorization, range: 'bytes=1000-1999' },
  })
  assert.equal(part.status, 206)
  assert.ok(part.body.equals(content.subarray(1000, 2000)))
  const stranger = await call(port, `/v2/shop/app/blobs/${digest}`)
  assert.equal(stranger.status, 401)
})

test('behind Caddy as shipped: sign-in, large bodies and long uploads', async (t) => {
  const [port, consolePort] = [await freePort(), await freePort()]
  const berth = await berthBehind(t, port)
  const caddyfile = readFileSync(join(deploy, 'caddy', 'Caddyfile'), 'utf8')
    .replace('registry.example.com {', `https://127.0.0.1:${port} {\n\ttls internal`)
    .replace('console.example.com {', `https://127.0.0.1:${consolePort} {\n\ttls internal`)
    .replace('127.0.0.1:5000', new URL(berth.registryUrl).host)
    .replace('127.0.0.1:8080', new URL(berth.consoleUrl).host)
  const caddy = await startCaddy({ caddyfile, port })
  t.after(() => caddy.stop())
  const pulled = await pushAndPull(berth, port)
  assert.equal(pulled.status, 200)
  assert.ok(pulled.body.equals(content))
})

test('headers of a proxy that is not trusted change nothing', async (t) => {
  const berth = await startBerth({ test: t })
  const forged = await fetch(`${berth.registryUrl}/v2/`, {
    headers: {
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-for': '10.0.0.1',
    },
  })
  assert.equal(forged.status, 401)
  const challenge = forged.headers.get('www-authenticate') ?? ''
  assert.match(challenge, new RegExp(`realm="http://${berth.registryHost}/auth/token"`))
  assert.doesNotMatch(challenge, /evil/)
  const metrics = await fetch(`${berth.registryUrl}/metrics`, { headers: { 'x-forwarded-for': '10.0.0.1' } })
  assert.equal(metrics.status, 404, 'somebody else’s request through a local proxy is not loopback')
})

function peerName(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

// The tests' own requests to a self-signed server: set before the first of them.
process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'

test('TLS in Berth itself: a replaced certificate is taken up while it runs, a broken one is not', async (t) => {
  const folder = workspace(t)
  const [first, second] = [
    await makeCertificate(join(folder, 'a'), 'first'),
    await makeCertificate(join(folder, 'b'), 'second'),
  ]
  const inUse = await makeCertificate(join(folder, 'in-use'), 'unused')
  copyFileSync(first.certFile, inUse.certFile)
  copyFileSync(first.keyFile, inUse.keyFile)
  const berth = await startBerth({
    test: t,
    scheme: 'https',
    env: {
      BERTH_TLS_CERT_FILE: inUse.certFile,
      BERTH_TLS_KEY_FILE: inUse.keyFile,
    },
  })
  const port = Number(new URL(berth.registryUrl).port)
  assert.equal(await peerName(port), 'first')
  const challenge = await call(port, '/v2/')
  assert.match(String(challenge.headers['www-authenticate']), /realm="https:/)

  copyFileSync(second.certFile, inUse.certFile)
  copyFileSync(second.keyFile, inUse.keyFile)
  await waitFor('the new certificate', async () => (await peerName(port)) === 'second', 40_000)
  copyFileSync(first.keyFile, inUse.keyFile)
  assert.ok(statSync(inUse.keyFile).size > 0)
  await waitFor(
    'the refusal of the mismatched pair',
    async () => /certificate could not be reloaded/.test(berth.log()),
    40_000,
  )
  assert.equal(await peerName(port), 'second', 'the pair that works stays in use')
})
