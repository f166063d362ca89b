// @needs nginx, caddy
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { freePort, portAnswers } from '../process.ts'
import { startCaddy } from './caddy.ts'
import { startNginx } from './nginx.ts'

test('nginx and Caddy pass requests on, and stop', async () => {
  const backend = createServer((request, response) => response.end(`backend saw ${request.url}`))
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
  const target = `127.0.0.1:${(backend.address() as AddressInfo).port}`
  const [nginxPort, caddyPort] = [await freePort(), await freePort()]
  const nginx = await startNginx({
    port: nginxPort,
    http: `server { listen 127.0.0.1:${nginxPort}; location / { proxy_pass http://${target}; } }`,
  })
  const caddy = await startCaddy({
    port: caddyPort,
    caddyfile: `http://127.0.0.1:${caddyPort} {\n  reverse_proxy ${target}\n}\n`,
  })
  for (const port of [nginxPort, caddyPort]) {
    const answer = await fetch(`http://127.0.0.1:${port}/some/path`)
    assert.equal(await answer.text(), 'backend saw /some/path')
  }
  await nginx.stop()
  await caddy.stop()
  backend.close()
  backend.closeAllConnections()
  assert.deepEqual([await portAnswers(nginxPort), await portAnswers(caddyPort)], [false, false])
})

test('a configuration that the server refuses is shown with the server’s own words', async () => {
  const port = await freePort()
  await assert.rejects(startNginx({ port, http: 'no_such_directive on;' }), /no_such_directive/)
})
