// @tier full
// @needs nginx
import assert from 'node:assert/strict'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { before, test, type TestContext } from 'node:test'
import { type Berth, startBerth } from '../support/berth.ts'
import { makeCertificate } from '../support/certificate.ts'
import { freePort, temporaryFolder } from '../support/process.ts'
import { startNginx } from '../support/servers/nginx.ts'

interface Finding {
  readonly name: string
  readonly outcome: 'ok' | 'warning' | 'failed'
  readonly message: string
  readonly nextStep: string | null
}

const folder = temporaryFolder('doctor')
let berth: Berth
let key: Awaited<ReturnType<Berth['createKey']>>

before(async () => {
  berth = await startBerth()
  const project = await berth.createProject('acme')
  key = await berth.createKey(project.id)
})
test.after(async () => {
  await berth?.[Symbol.asyncDispose]()
  folder.remove()
})

async function doctor(args: readonly string[], env: Record<string, string> = {}): Promise<Finding[]> {
  const { stdout } = await berth.cli(['doctor', ...args, '--json'], {
    allowFailure: true,
    env: { ...process.env, BERTH_REGISTRY_PASSWORD: key.key, ...env },
  })
  return JSON.parse(stdout) as Finding[]
}

test('a running installation is found whole', async () => {
  const { code, stdout } = await berth.cli(['doctor'])
  assert.equal(code, 0)
  assert.doesNotMatch(stdout, /FAILED/)
  const names = (await doctor([])).map(({ name }) => name)
  assert.ok(names.includes('region local blob store'), names.join())
  assert.ok(names.includes(`host ${berth.registryHost}`), names.join())
})

test('what is wrong is named with what to do', async (context) => {
  if (berth.stack === 'sqlite-fs') {
    chmodSync(join(berth.dataDir, 'root.key'), 0o644)
    context.after(() => chmodSync(join(berth.dataDir, 'root.key'), 0o600))
    const rootKey = (await doctor([])).find(({ name }) => name === 'root key')
    assert.equal(rootKey?.outcome, 'warning')
    assert.match(rootKey.nextStep ?? '', /chmod 600/)
  }
  const { certFile, keyFile } = await makeCertificate(folder.path, 'other.example')
  const hosts = `local=Local@no-such-host.invalid,two=Two@${berth.registryHost}`
  const found = await doctor([], {
    BERTH_REGIONS: hosts,
    BERTH_TLS_CERT_FILE: certFile,
    BERTH_TLS_KEY_FILE: keyFile,
  })
  const failed = found.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name)
  assert.ok(failed.includes('host no-such-host.invalid'), JSON.stringify(found))
  assert.ok(failed.includes('certificate'), JSON.stringify(found))
  const mistaken = await doctor([], { BERTH_REGISTRY_ADDR: 'nonsense' })
  assert.equal(mistaken[0]?.name, 'configuration')
  assert.equal(mistaken[0]?.outcome, 'failed')
})

test("the console's URL is looked at as people use it", async (context) => {
  const look = async (consoleUrl: string) => {
    const found = await doctor([], { BERTH_CONSOLE_URL: consoleUrl })
    return found.find(({ name }) => name === `console ${consoleUrl}`)
  }
  assert.deepEqual((await look(berth.consoleUrl))?.outcome, 'ok')
  const nameless = await look('https://no-such-console.invalid')
  assert.equal(nameless?.outcome, 'failed')
  assert.match(nameless.nextStep ?? '', /DNS record for no-such-console\.invalid/)
  const silent = await look(`http://127.0.0.1:${await freePort()}`)
  assert.equal(silent?.outcome, 'warning')
  const certificate = await makeCertificate(join(folder.path, 'console'), 'console')
  const port = await freePort()
  const http = `server {
  listen 127.0.0.1:${port} ssl;
  ssl_certificate ${certificate.certFile};
  ssl_certificate_key ${certificate.keyFile};
  location / { return 404; }
}`
  const nginx = await startNginx({ http, port })
  context.after(() => nginx.stop())
  const untrusted = await look(`https://127.0.0.1:${port}`)
  assert.equal(untrusted?.outcome, 'failed')
  assert.match(untrusted.message, /self-signed certificate/)
  // What trusts the certificate gets as far as the answer.
  const trusting = await doctor([], {
    BERTH_CONSOLE_URL: `https://127.0.0.1:${port}`,
    NODE_EXTRA_CA_CERTS: certificate.certFile,
  })
  const foreign = trusting.find(({ name }) => name === `console https://127.0.0.1:${port}`)
  assert.equal(foreign?.outcome, 'failed')
  assert.match(foreign.message, /\/livez answers 404/)
})

test('a push straight to the registry works in every step', async () => {
  const steps = await push(berth.registryHost)
  assert.deepEqual(
    steps.filter(({ outcome }) => outcome !== 'ok'),
    [],
  )
  assert.equal(steps.length, 5)
})

test('a wrong password and a foreign namespace are told apart', async () => {
  const wrong = await doctor(['push', `http://${berth.registryHost}/acme/doctor`], {
    BERTH_REGISTRY_PASSWORD: 'wrong',
  })
  assert.match(wrong.at(-1)?.message ?? '', /credential is refused/)
  const foreign = await doctor(['push', `http://${berth.registryHost}/other/doctor`])
  assert.match(foreign.at(-1)?.message ?? '', /may not push there/)
})

const passes = `proxy_set_header Host $http_host; proxy_http_version 1.1; proxy_request_buffering off;`

const proxies: readonly [what: string, directives: string, step: RegExp, nextStep: RegExp][] = [
  ['a limit of bodies', `client_max_body_size 2m; ${passes}`, /streamed chunk/, /client_max_body_size 0/],
  ['a path that is not passed on', 'return 404;', /ping/, /passes? \/v2\/ on/],
]

for (const [what, directives, step, nextStep] of proxies) {
  test(`${what} in front is found`, async (context) => {
    const steps = await push(await startProxy(context, directives))
    const last = steps.at(-1)
    assert.equal(last?.outcome, 'failed', JSON.stringify(steps))
    assert.match(last.name, step)
    assert.match(last.nextStep ?? '', nextStep)
  })
}

test('clients that are sent elsewhere for their tokens are found', async (context) => {
  const host = await startProxy(context, `client_max_body_size 0; proxy_set_header Host wrong.example;`)
  await berth.restart({ BERTH_REGIONS: 'local=Local@registry.example' })
  const [ping] = await push(host)
  assert.equal(ping?.outcome, 'failed', JSON.stringify(ping))
  assert.match(ping.message, /sent to http:\/\/registry.example\//)
  assert.match(ping.nextStep ?? '', /BERTH_TRUSTED_PROXIES/)
})

test('a proxy that cuts slow uploads is found', async (context) => {
  const limits = `client_max_body_size 0; proxy_set_header Host $http_host; proxy_http_version 1.1; proxy_request_buffering on; client_body_timeout 1s;`
  const steps = await push(await startProxy(context, limits))
  const last = steps.at(-1)
  assert.equal(last?.outcome, 'failed', JSON.stringify(steps))
  assert.match(last.name, /takes 3 s/)
  assert.match(last.nextStep ?? '', /client_body_timeout/)
})

function push(host: string): Promise<Finding[]> {
  return doctor(['push', `http://${host}/acme/doctor`, '--size', '8MiB', '--slow', '3'])
}

async function startProxy(context: TestContext, directives: string): Promise<string> {
  const port = await freePort()
  await berth.restart({
    BERTH_REGIONS: `local=Local@127.0.0.1:${port}`,
    BERTH_TRUSTED_PROXIES: '127.0.0.1/32',
  })
  const http = `server { listen 127.0.0.1:${port}; location / { proxy_pass ${berth.registryUrl}; ${directives} } }`
  const nginx = await startNginx({ http, port })
  context.after(() => nginx.stop())
  return `127.0.0.1:${port}`
}
