import assert from 'node:assert/strict'
import { test } from 'node:test'
import { acceptRealm } from './realm.ts'
import { registryPlace } from './registry-place.ts'
import type { UpstreamProvider } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

/** Where the credentials would go, or the reason why they do not. */
function outcome(
  provider: UpstreamProvider,
  host: string,
  realm: string,
  endpoints: Record<string, string> = {},
): string {
  const map = new Map(Object.entries(endpoints))
  const place = registryPlace({
    provider,
    host,
    endpoints: map,
    outgoing: { usesPlainHttp: (name) => name === 'plain.corp:5000' },
  })
  assert.ok(place !== null)
  try {
    const challenge = { scheme: 'bearer', parameters: new Map([['realm', realm]]) }
    return acceptRealm(challenge, place, map).url.href
  } catch (error) {
    assert.ok(error instanceof UpstreamError)
    return error.reason
  }
}

test('Docker Hub and GHCR have token services of their own only', () => {
  const hub = 'https://auth.docker.io/token'
  assert.equal(outcome('docker_hub', 'docker.io', hub), hub)
  assert.equal(outcome('ghcr', 'ghcr.io', 'https://ghcr.io/token'), 'https://ghcr.io/token')
  for (const realm of [
    'https://auth.docker.io.evil.example/token',
    'https://evil.example/auth.docker.io/token',
    'https://auth.docker.io@evil.example/token',
    'https://auth.docker.io:444/token',
    'http://auth.docker.io/token',
    'https://evil.example\\@auth.docker.io/token',
    'https://auth.docker.io%2eevil.example/token',
  ]) {
    assert.equal(outcome('docker_hub', 'docker.io', realm), 'realm', realm)
  }
  assert.equal(outcome('ghcr', 'ghcr.io', hub), 'realm')
})

test('the operator’s map holds for the token service, too, whatever the path looks like', () => {
  const endpoints = { 'docker.io': 'https://127.0.0.1:5443', 'auth.docker.io': 'https://127.0.0.1:5444' }
  const at = (realm: string) => outcome('docker_hub', 'docker.io', realm, endpoints)
  assert.equal(at('https://auth.docker.io/token?a=b'), 'https://127.0.0.1:5444/token?a=b')
  assert.equal(at('https://127.0.0.1:5443/token'), 'https://127.0.0.1:5443/token')
  assert.equal(at('https://auth.docker.io//evil.example/token'), 'https://127.0.0.1:5444//evil.example/token')
  assert.equal(at('https://127.0.0.1:5445/token'), 'realm')
})

test('the map is not for whatever a custom registry names', () => {
  const endpoints = { 'docker.io': 'http://10.0.0.5:5000', 'registry.example': 'https://mirror.example' }
  const at = (realm: string) => outcome('custom', 'registry.example', realm, endpoints)
  assert.equal(at('https://docker.io/token'), 'https://docker.io/token')
  assert.equal(at('https://registry.example/token'), 'https://mirror.example/token')
})

test('a custom registry may name another host over TLS, itself without it, and nothing odd', () => {
  const at = (realm: string) => outcome('custom', 'registry.example:5000', realm)
  assert.equal(at('https://gitlab.example/jwt/auth#x'), 'https://gitlab.example/jwt/auth')
  assert.equal(at('https://registry.example:5000/token'), 'https://registry.example:5000/token')
  assert.equal(at('http://registry.example:5000/token'), 'realm')
  assert.equal(at('http://gitlab.example/jwt/auth'), 'realm')
  assert.equal(at('https://user:pass@gitlab.example/'), 'realm')
  for (const realm of ['', '/token', 'token', 'file:///etc/passwd', 'javascript:alert(1)']) {
    assert.equal(at(realm), 'not_a_registry', realm)
  }
})

test('a registry without TLS may name nobody but itself', () => {
  const at = (realm: string) => outcome('custom', 'plain.corp:5000', realm)
  assert.equal(at('http://plain.corp:5000/token'), 'http://plain.corp:5000/token')
  for (const realm of [
    'https://plain.corp:5000/token',
    'https://auth.example/token',
    'http://plain.corp:5001/token',
    'http://other.corp:5000/token',
  ]) {
    assert.equal(at(realm), 'realm', realm)
  }
})

test('hosts that are none, and names of repositories as each registry knows them', () => {
  const place = (provider: UpstreamProvider, host: string) =>
    registryPlace({ provider, host, endpoints: new Map(), outgoing: { usesPlainHttp: () => false } })
  for (const host of [
    '',
    'a/b',
    'user@host',
    'host?x',
    'host#x',
    'a b',
    'https://host',
    'host:99999',
    '\\host',
  ]) {
    assert.equal(place('custom', host), null, host)
  }
  assert.equal(place('docker_hub', 'docker.io')?.repository('alpine'), 'library/alpine')
  assert.equal(place('docker_hub', 'docker.io')?.repository('a/alpine'), 'a/alpine')
  assert.equal(place('docker_hub', 'docker.io')?.origin, 'https://registry-1.docker.io')
  assert.equal(place('custom', 'registry.example')?.repository('alpine'), 'alpine')
  for (const name of ['../x', 'a//b', 'A', 'a?b', 'a/../b', 'a%2fb', '']) {
    assert.equal(place('custom', 'registry.example')?.repository(name), null, name)
  }
})
