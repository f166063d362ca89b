// @needs docker, busybox
// @stacks sqlite-fs
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openBrowser } from '../support/console/browser.ts'
import { putBusyboxImage, writeDockerArchive } from '../support/images.ts'
import { createLayout } from '../support/layout.ts'
import { freePort, type ServerProcess, startProcess, temporaryFolder, waitFor } from '../support/process.ts'
import { startDockerd } from '../support/servers/dockerd.ts'

const entryPoint = join(import.meta.dirname, '..', '..', 'cli', 'bin', 'berth.js')
const START_TIMEOUT_MS = 30_000
const READY = /Berth is running/

interface Start {
  readonly server: ServerProcess
  readonly registryPort: number
  readonly consolePort: number
}

function folderFor(t: TestContext): string {
  const folder = temporaryFolder('first-minute')
  t.after(() => folder.remove())
  return folder.path
}

async function serve(t: TestContext, folder: string, more: Record<string, string> = {}): Promise<Start> {
  const [registryPort, consolePort] = [await freePort(), await freePort()]
  const server = await startProcess(process.execPath, [entryPoint, 'serve'], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      BERTH_REGISTRY_ADDR: `127.0.0.1:${registryPort}`,
      BERTH_CONSOLE_ADDR: `127.0.0.1:${consolePort}`,
      ...more,
    },
    name: 'berth',
  })
  t.after(() => server.stop())
  return { server, registryPort, consolePort }
}

async function serveUntilReady(
  t: TestContext,
  folder: string,
  more: Record<string, string> = {},
): Promise<Start> {
  const start = await serve(t, folder, more)
  const { server } = start
  const hopeless = () => (server.ended() === null ? null : server.output())
  await waitFor('the start message', async () => READY.test(server.output()), START_TIMEOUT_MS, hopeless)
  return start
}

test('on an empty folder, the printed commands push and pull with a real docker', async (t) => {
  const folder = folderFor(t)
  const { server, registryPort, consolePort } = await serveUntilReady(t, folder)
  const output = server.output()
  assert.ok(output.includes(`http://localhost:${consolePort}`), 'the console address')
  assert.ok(output.includes(`localhost:${registryPort}`), 'the registry address')

  const engine = await startDockerd()
  t.after(() => engine.stop())
  const layout = createLayout(join(folder, 'layout'))
  writeDockerArchive(
    layout,
    await putBusyboxImage(layout, { seed: 'first minute' }),
    'hello-world:latest',
    join(folder, 'image.tar'),
  )
  await engine.docker(['load', '-i', join(folder, 'image.tar')])

  const login = /echo (\S+) \| docker (login .*)/.exec(output)
  assert.ok(login?.[1] !== undefined && login[2] !== undefined, output)
  await engine.docker(login[2].split(' '), { stdin: login[1] })
  for (const [, line] of output.matchAll(/^ {2}docker ((?:tag|push) .*)$/gm))
    await engine.docker((line ?? '').split(' '))
  const reference = `localhost:${registryPort}/demo/hello-world`
  await engine.docker(['rmi', 'hello-world', reference])
  await engine.docker(['pull', reference])
  const run = await engine.docker(['run', '--rm', '--network', 'none', reference])
  assert.equal(run.stdout, 'first minute\n')
})

test('the setup link makes the first account, once', async (t) => {
  const { server, consolePort } = await serveUntilReady(t, folderFor(t))
  const link = /http:\S+\/setup\?token=\S+/.exec(server.output())?.[0] ?? ''
  const browser = openBrowser(link, `http://localhost:${consolePort}`)
  const form = await browser.get(link)
  assert.equal(form.status, 200)
  assert.match(form.html, /In a hurry\?/)
  const person = { name: 'Ada', email: 'ada@example.org', password: 'correct horse battery staple' }
  const made = await browser.submit(person)
  assert.equal(made.status, 200, made.html)
  assert.match(made.html, /berth login http:\/\/localhost/)
  assert.match(made.html, /docker push localhost:\d+\/demo\/alpine/)
  assert.match((await browser.get('/account')).html, /Signed in as ada@example\.org/)
  assert.equal((await browser.get(link)).status, 410)
})

test('secrets are printed at the first start only, and are in no file but their own', async (t) => {
  const folder = folderFor(t)
  const { server } = await serveUntilReady(t, folder)
  const secrets = server.output().match(/brth_k_\w+|berth-(?:operator|setup)-[\w-]+/g) ?? []
  assert.equal(secrets.length, 3)
  assert.equal(await server.stop(), 0)
  for (const name of [
    'control.db',
    'control.db-wal',
    'regions/local/region.db',
    'regions/local/region.db-wal',
  ]) {
    const path = join(folder, 'berth-data', name)
    if (!existsSync(path)) continue
    const content = readFileSync(path, 'latin1')
    for (const secret of secrets) assert.ok(!content.includes(secret.slice(20)), `${name} holds a secret`)
  }
  const again = await serveUntilReady(t, folder)
  assert.doesNotMatch(again.server.output(), /brth_k_|berth-operator-|berth-setup-/)
})

test('a taken port, a second process and a mistake in the settings end with one clear message', async (t) => {
  const folder = folderFor(t)
  const first = await serveUntilReady(t, folder)

  const second = await serve(t, folder)
  assert.equal(await second.server.exited, 1)
  assert.match(second.server.output(), /Another Berth process uses the data folder .*BERTH_DATA_DIR/)

  const other = { BERTH_DATA_DIR: join(folder, 'other') }
  const taken = await serve(t, folder, { ...other, BERTH_REGISTRY_ADDR: `127.0.0.1:${first.registryPort}` })
  assert.equal(await taken.server.exited, 1)
  assert.match(
    taken.server.output(),
    new RegExp(
      `cannot listen on 127.0.0.1:${first.registryPort}: another program uses that port.*BERTH_REGISTRY_ADDR`,
    ),
  )

  const wrong = await serve(t, folder, { ...other, BERTH_TOKEN_TTL: 'soon', BERTH_ROLE: 'king' })
  assert.equal(await wrong.server.exited, 1)
  assert.match(wrong.server.output(), /2 mistakes/)
  for (const { server } of [second, taken, wrong])
    assert.doesNotMatch(server.output(), / {4}at /, 'no stack trace')
})

test('a folder that cannot be used, and a root key that is lost or another, end with what to do', async (t) => {
  const folder = folderFor(t)
  writeFileSync(join(folder, 'file'), '')
  const unusable = await serve(t, folder, { BERTH_DATA_DIR: join(folder, 'file') })
  assert.equal(await unusable.server.exited, 1)
  assert.match(unusable.server.output(), /cannot be used: it is a file, not a folder\. .*BERTH_DATA_DIR/)

  await (await serveUntilReady(t, folder)).server.stop()
  const otherKey = Buffer.alloc(32, 7).toString('base64')
  const wrong = await serve(t, folder, { BERTH_ROOT_KEY: otherKey })
  assert.equal(await wrong.server.exited, 1)
  assert.match(wrong.server.output(), /root key does not match this installation.*BERTH_ROOT_KEY/s)

  rmSync(join(folder, 'berth-data', 'root.key'))
  const lost = await serve(t, folder)
  assert.equal(await lost.server.exited, 1)
  assert.match(lost.server.output(), /root\.key is missing, but this installation has data/)
  assert.equal(existsSync(join(folder, 'berth-data', 'root.key')), false, 'no new key was made over the data')
})

test('SIGTERM with idle connections open stops at once and cleanly', async (t) => {
  const folder = folderFor(t)
  mkdirSync(join(folder, 'idle'))
  const { server, registryPort } = await serveUntilReady(t, folder)
  const idle = net.connect(registryPort, '127.0.0.1')
  t.after(() => idle.destroy())
  await new Promise((resolve) => idle.once('connect', resolve))
  assert.equal(await server.stop('SIGTERM', 20_000), 0)
  assert.match(server.output(), /stopped/)
})
