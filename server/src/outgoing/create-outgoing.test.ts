// @needs openssl
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http, { type IncomingMessage, type RequestListener } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { type Authority, makeAuthority } from '../../../test/support/certificate.ts'
import { temporaryFolder } from '../../../test/support/process.ts'
import { parseAllowList } from './allow-list.ts'
import { createOutgoing, type OutgoingOptions } from './create-outgoing.ts'
import { requestFollowing } from './follow-redirects.ts'
import { OutgoingError } from './outgoing-error.ts'
import { readBody, readJson } from './read-body.ts'

const folder = temporaryFolder('outgoing')
const cleanups: (() => Promise<void>)[] = []
let authority: Authority

before(async () => {
  authority = await makeAuthority(folder.path)
})

after(async () => {
  for (const cleanup of cleanups) await cleanup()
  folder.remove()
})

interface Server {
  readonly host: string
  readonly port: number
  readonly seen: IncomingMessage[]
}

/** A server on loopback that remembers what it was sent. */
async function serve(
  listener: RequestListener,
  tls: { certFile: string; keyFile: string } | null = null,
): Promise<Server> {
  const seen: IncomingMessage[] = []
  const record: RequestListener = (request, response) => {
    seen.push(request)
    listener(request, response)
  }
  const server =
    tls === null
      ? http.createServer(record)
      : https.createServer({ cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) }, record)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { host: `127.0.0.1:${port}`, port, seen }
}

/** A server that sends these bytes to everybody and then keeps quiet. */
async function serveBytes(text: string, end = false): Promise<string> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => (end ? socket.end(text) : socket.write(text)))
  })
  const sockets = new Set<net.Socket>()
  server.on('connection', (socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

function guard(allow: string, options: Partial<OutgoingOptions> = {}) {
  const parsed = parseAllowList(allow)
  assert.ok(parsed.ok)
  return createOutgoing({ allow: parsed.entries, extraCaPem: null, userAgent: 'berth/test', ...options })
}

const timeoutMs = 10_000

async function reasonOf(promise: Promise<unknown>): Promise<OutgoingError> {
  const error = await promise.then(
    () => assert.fail('this was to fail'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof OutgoingError, String(error))
  return error
}

test('a name that rebinds is connected to where it was checked', async () => {
  const server = await serve((request, response) => response.end(request.socket.localAddress))
  const answers = [['127.0.0.1'], ['127.0.0.2']]
  let asked = 0
  const outgoing = guard(`http://rebind.example:${server.port}`, {
    resolve: async () => answers[asked++] ?? assert.fail('asked too often'),
  })
  const response = await outgoing.request(`http://rebind.example:${server.port}/a?b=c#d`, { timeoutMs })
  assert.equal((await readBody(response)).toString(), '127.0.0.1')
  assert.equal(asked, 1)
  assert.equal(server.seen[0]?.headers.host, `rebind.example:${server.port}`)
  assert.equal(server.seen[0]?.url, '/a?b=c')
})

test('of several addresses the next is tried when nobody is at one', async () => {
  const server = await serve((_request, response) => response.end('here'))
  for (const addresses of [
    ['127.0.0.2', '127.0.0.1'],
    ['127.0.0.1', '127.0.0.2'],
    ['::1', '127.0.0.1'],
  ]) {
    const outgoing = guard(`http://two.example:${server.port}`, { resolve: async () => addresses })
    const response = await outgoing.request(`http://two.example:${server.port}/`, { timeoutMs })
    assert.equal((await readBody(response)).toString(), 'here')
  }
  const nobody = guard(`http://two.example:${server.port}`, {
    resolve: async () => ['127.0.0.2', '127.0.0.3'],
  })
  assert.equal(
    (await reasonOf(nobody.request(`http://two.example:${server.port}/`, { timeoutMs }))).reason,
    'connect',
  )
})

test('a public name whose second answer would be private never reaches it', async () => {
  const server = await serve((_request, response) => response.end('secret'))
  let asked = 0
  const outgoing = guard('', { resolve: async () => (asked++ === 0 ? ['10.0.0.1'] : ['127.0.0.1']) })
  const error = await reasonOf(outgoing.request(`https://a.example:${server.port}/`, { timeoutMs }))
  assert.equal(error.reason, 'refused_address')
  assert.equal(server.seen.length, 0)
})

test('redirects are answers; nothing is followed', async () => {
  const target = await serve((_request, response) => response.end('secret'))
  const server = await serve((_request, response) => {
    response.writeHead(302, { location: `http://${target.host}/` }).end()
  })
  const outgoing = guard(`http://${server.host},http://${target.host}`)
  const response = await outgoing.request(`http://${server.host}/`, { timeoutMs })
  assert.equal(response.status, 302)
  assert.equal(target.seen.length, 0)
  response.body.destroy()
})

test('followed by hand, another origin gets no header that could be a credential', async () => {
  const last = await serve((_request, response) => response.end('done'))
  const elsewhere = await serve((_request, response) => {
    response.writeHead(307, { location: `http://${last.host}/` }).end()
  })
  const own = await serve((request, response) => {
    const location = request.url === '/1' ? '/2' : `http://${elsewhere.host}/3`
    response.writeHead(302, { location }).end()
  })
  const outgoing = guard(`http://${own.host},http://${elsewhere.host},http://${last.host}`)
  const headers = {
    authorization: 'Bearer secret',
    cookie: 'secret',
    'x-api-key': 'secret',
    accept: 'text/plain',
  }
  const response = await requestFollowing(outgoing, `http://${own.host}/1`, { timeoutMs, headers })
  assert.equal((await readBody(response)).toString(), 'done')
  assert.equal(response.isElsewhere, true)
  assert.deepEqual(
    own.seen.map((request) => request.headers.authorization),
    ['Bearer secret', 'Bearer secret'],
    'the same origin gets them again',
  )
  for (const { seen } of [elsewhere, last]) {
    assert.equal(seen.length, 1)
    assert.equal(seen[0]?.headers.accept, 'text/plain')
    assert.ok(!JSON.stringify(seen[0]?.rawHeaders).includes('secret'))
  }
})

test('each hop of a redirect is checked like a first call', async () => {
  const inner = await serve((_request, response) => response.end('secret'))
  for (const location of [
    `http://${inner.host}/`,
    `https://${inner.host}/`,
    'https://169.254.169.254/latest/meta-data/',
    'https://localhost/',
    'file:///etc/passwd',
    'https://user:password@a.example/',
    `\\\\${inner.host}/`,
  ]) {
    const server = await serve((_request, response) => response.writeHead(302, { location }).end())
    const outgoing = guard(`http://${server.host}`)
    const error = await reasonOf(requestFollowing(outgoing, `http://${server.host}/`, { timeoutMs }))
    assert.match(error.reason, /^refused_/, location)
  }
  assert.equal(inner.seen.length, 0)
  const loop = await serve((_request, response) => response.writeHead(302, { location: '/' }).end())
  const error = await reasonOf(
    requestFollowing(guard(`http://${loop.host}`), `http://${loop.host}/`, { timeoutMs }),
  )
  assert.equal(error.reason, 'redirect')
  assert.equal(loop.seen.length, 5)
})

test('from https a redirect never leads to http', async () => {
  const plain = await serve((_request, response) => response.end())
  const location = `http://${plain.host}/`
  const server = await serve(
    (_request, response) => response.writeHead(302, { location }).end(),
    await authority.issue(),
  )
  const outgoing = guard(`127.0.0.1,http://${plain.host}`, {
    extraCaPem: readFileSync(authority.caFile, 'utf8'),
  })
  const error = await reasonOf(requestFollowing(outgoing, `https://${server.host}/`, { timeoutMs }))
  assert.equal(error.reason, 'redirect')
  assert.equal(plain.seen.length, 0)
})

test('certificates are verified, and what is wrong with one is named', async () => {
  const extraCaPem = readFileSync(authority.caFile, 'utf8')
  const answer: RequestListener = (_request, response) => response.end('ok')
  const good = await serve(answer, await authority.issue())
  const expired = await serve(answer, await authority.issue({ expired: true }))
  const named = await serve(answer, await authority.issue({ names: 'DNS:other.example' }))
  const plain = await serve(answer)
  const outgoing = guard('127.0.0.1,localhost', { extraCaPem })
  const response = await outgoing.request(`https://${good.host}/`, { timeoutMs })
  assert.equal((await readBody(response)).toString(), 'ok')
  const byName = await outgoing.request(`https://localhost:${good.port}/`, { timeoutMs })
  assert.equal((await readBody(byName)).toString(), 'ok')
  const problem = async (by: typeof outgoing, host: string) => {
    const error = await reasonOf(by.request(`https://${host}/`, { timeoutMs }))
    assert.equal(error.reason, 'tls')
    return error
  }
  assert.equal((await problem(outgoing, expired.host)).tlsProblem, 'expired')
  const wrongName = await problem(outgoing, named.host)
  assert.equal(wrongName.tlsProblem, 'wrong_name')
  assert.match(wrongName.message, /other\.example/)
  assert.equal((await problem(outgoing, plain.host)).tlsProblem, 'not_tls')
  assert.equal((await problem(guard('127.0.0.1'), good.host)).tlsProblem, 'unknown_ca')
  assert.equal(expired.seen.length + named.seen.length + plain.seen.length, 0)
})

test('limits of size, headers and time end an exchange with their own reason', async () => {
  const server = await serve((request, response) => {
    if (request.url === '/announced')
      response.writeHead(200, { 'content-length': '2000' }).end('x'.repeat(2000))
    else if (request.url === '/chunked') response.writeHead(200).write('x'.repeat(2000))
    else if (request.url === '/headers') response.writeHead(200, { 'x-long': 'x'.repeat(40_000) }).end()
    else if (request.url === '/stalls') response.writeHead(200).write('begins')
    else if (request.url === '/cut') response.writeHead(200, { 'content-length': '10' }).write('half')
    if (request.url === '/cut') setImmediate(() => request.socket.destroy())
  })
  const outgoing = guard(`http://${server.host}`, { idleTimeoutMs: 50 })
  const at = (path: string, more = {}) =>
    outgoing.request(`http://${server.host}${path}`, { timeoutMs, maxBytes: 1000, ...more })
  assert.equal((await reasonOf(at('/announced'))).reason, 'too_large')
  assert.equal((await reasonOf(at('/chunked').then(readBody))).reason, 'too_large')
  assert.equal((await reasonOf(at('/headers'))).reason, 'protocol')
  assert.equal((await reasonOf(at('/stalls').then(readBody))).reason, 'timeout')
  assert.equal((await reasonOf(at('/cut').then(readBody))).reason, 'connect')
  assert.equal((await reasonOf(at('/silent', { timeoutMs: 50 }))).reason, 'timeout')
  const patient = guard(`http://${server.host}`)
  const total = patient.request(`http://${server.host}/stalls`, { timeoutMs: 100 }).then(readBody)
  assert.equal((await reasonOf(total)).reason, 'timeout', 'the limit of the whole call covers the body')
})

test('a body that nobody reads gives its place back when its time is over', async () => {
  const server = await serve((_request, response) => response.end('x'.repeat(500_000)))
  const places = { total: 1, waiting: 1, perKey: {} }
  const outgoing = guard(`http://${server.host}`, { places })
  const url = `http://${server.host}/`
  const forgotten = await outgoing.request(url, { timeoutMs: 100 })
  const waiting = outgoing.request(url, { timeoutMs })
  assert.equal((await reasonOf(outgoing.request(url, { timeoutMs }))).reason, 'busy')
  assert.equal((await readBody(await waiting)).byteLength, 500_000)
  assert.ok(forgotten.body.destroyed)
})

test('an answer without a body gives its place back by itself', async () => {
  const server = await serve((request, response) =>
    response.writeHead(request.method === 'HEAD' ? 200 : 204).end(),
  )
  const outgoing = guard(`http://${server.host}`, { places: { total: 1, waiting: 10, perKey: {} } })
  for (const method of ['HEAD', 'GET', 'HEAD', 'GET']) {
    await outgoing.request(`http://${server.host}/`, { timeoutMs, method })
  }
  assert.equal(server.seen.length, 4)
})

test('neither a host nor an account takes all places', async () => {
  const server = await serve((_request, response) => response.writeHead(200).write('never ends'))
  const other = await serve((_request, response) => response.end())
  const places = { total: 4, waiting: 10, perKey: { host: 2, account: 2 } }
  const outgoing = guard(`http://${server.host},http://${other.host}`, { places })
  const call = (host: string, account: string) => outgoing.request(`http://${host}/`, { timeoutMs, account })
  const held = [await call(server.host, 'a'), await call(server.host, 'b')]
  const thirdOfHost = call(server.host, 'c')
  const held2 = await call(other.host, 'a')
  await readBody(await call(other.host, 'd'))
  assert.equal(server.seen.length, 2, 'the third waits for one of the two')
  for (const response of [...held, held2]) response.body.destroy()
  const third = await thirdOfHost
  third.body.destroy()
})

test('what is no HTTP, and an answer that changes the protocol, are refused', async () => {
  const notHttp = await serveBytes('SSH-2.0-OpenSSH_9.2\r\n')
  const upgrade = await serveBytes(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
  )
  const early = await serveBytes('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(20))
  const split = await serveBytes(
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  )
  for (const host of [notHttp, upgrade, early, split]) {
    const failed = guard(`http://${host}`).request(`http://${host}/`, { timeoutMs }).then(readBody)
    assert.equal((await reasonOf(failed)).reason, 'protocol', host)
  }
})

test("the caller's signal ends a call with its own reason", async () => {
  const server = await serve(() => {})
  const controller = new AbortController()
  const reason = new Error('given up')
  const call = guard(`http://${server.host}`).request(`http://${server.host}/`, {
    timeoutMs,
    signal: controller.signal,
  })
  controller.abort(reason)
  await assert.rejects(call, (error) => error === reason)
})

test('headers of the connection are not the caller’s, and a line break is none', async () => {
  const server = await serve((_request, response) => response.end())
  const outgoing = guard(`http://${server.host}`)
  for (const headers of [
    { Host: 'other' },
    { 'transfer-encoding': 'chunked' },
    { accept: 'a\r\nhost: other' },
  ]) {
    await assert.rejects(outgoing.request(`http://${server.host}/`, { timeoutMs, headers }), TypeError)
  }
  assert.equal(server.seen.length, 0)
})

test('compressed JSON is refused rather than expanded', async () => {
  const server = await serve((_request, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end('not really')
  })
  const response = await guard(`http://${server.host}`).request(`http://${server.host}/`, { timeoutMs })
  assert.equal(server.seen[0]?.headers['accept-encoding'], 'identity')
  assert.equal((await reasonOf(readJson(response, server.host))).reason, 'protocol')
})

test('neither a proxy nor a switched-off verification in the environment changes anything', async () => {
  const proxy = await serve((_request, response) => response.end('proxy'))
  const server = await serve((_request, response) => response.end('server'), await authority.issue())
  const proxyUrl = `http://${proxy.host}`
  const script = `
    import { createOutgoing } from ${JSON.stringify(`${import.meta.dirname}/create-outgoing.ts`)}
    import { parseAllowList } from ${JSON.stringify(`${import.meta.dirname}/allow-list.ts`)}
    const { entries } = parseAllowList('127.0.0.1')
    const outgoing = createOutgoing({ allow: entries, extraCaPem: null, userAgent: 'berth/test' })
    const call = outgoing.request('https://${server.host}/', { timeoutMs: 10000 })
    process.stdout.write(await call.then((answer) => String(answer.status), (error) => error.tlsProblem))`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module-typescript', '-e', script],
    {
      env: {
        PATH: '',
        NODE_USE_ENV_PROXY: '1',
        HTTP_PROXY: proxyUrl,
        HTTPS_PROXY: proxyUrl,
        ALL_PROXY: proxyUrl,
        NODE_TLS_REJECT_UNAUTHORIZED: '0',
      },
    },
  )
  assert.equal(stdout, 'unknown_ca')
  assert.equal(proxy.seen.length, 0)
  assert.equal(server.seen.length, 0)
})
