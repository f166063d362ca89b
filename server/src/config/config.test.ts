import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ConfigError, loadConfig, printConfig } from './config.ts'

const folder = mkdtempSync(join(tmpdir(), 'berth-config-'))
after(() => rmSync(folder, { recursive: true }))

test('without settings: one region on localhost, SQLite and files in the data folder', () => {
  const config = loadConfig({}, folder)
  assert.equal(config.dataDir, join(folder, 'berth-data'))
  assert.deepEqual(config.regions, [{ id: 'local', name: 'Local', host: 'localhost:5000', listen: null }])
  assert.equal(config.consoleUrl, 'http://localhost:8080')
  assert.equal(config.databaseUrl, null)
  assert.ok(Object.isFrozen(config))
})

test('the default region follows the registry address', () => {
  const config = loadConfig({ BERTH_REGISTRY_ADDR: '0.0.0.0:5600' }, folder)
  assert.equal(config.regions[0]?.host, 'localhost:5600')
})

test('every mistake is reported at once', () => {
  const env = {
    BERTH_REGISTRY_ADDR: 'nowhere',
    BERTH_TOKEN_TTL: '10s',
    BERTH_INLINE_LIMIT: 'much',
    BERTH_DATABASE_ULR: 'x',
    BERTH_TLS_CERT_FILE: 'a.pem',
  }
  assert.throws(
    () => loadConfig(env, folder),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError)
      assert.equal(error.mistakes.length, 5, error.message)
      for (const name of [
        'BERTH_REGISTRY_ADDR',
        'BERTH_TOKEN_TTL',
        'BERTH_INLINE_LIMIT',
        'BERTH_DATABASE_ULR',
        'BERTH_TLS_KEY_FILE',
      ])
        assert.match(error.message, new RegExp(name))
      return true
    },
  )
})

const ACCEPTED: [string, string, (config: ReturnType<typeof loadConfig>) => unknown, unknown][] = [
  ['BERTH_REGISTRY_ADDR', '[::1]:5001', (c) => c.registryAddr, { host: '::1', port: 5001 }],
  ['BERTH_REGISTRY_ADDR', ':5001', (c) => c.registryAddr, { host: '::', port: 5001 }],
  ['BERTH_INLINE_LIMIT', '1MiB', (c) => c.inlineLimitBytes, 1_048_576],
  ['BERTH_TRASH_PERIOD', '2d', (c) => c.trashMs, 172_800_000],
  ['BERTH_PULL_THROUGH_KEEP', '7d', (c) => c.pullThroughKeepMs, 604_800_000],
  [
    'BERTH_SSO_DOMAINS',
    'Example.org, eu.example.com',
    (c) => c.ssoDomains,
    ['example.org', 'eu.example.com'],
  ],
  ['BERTH_TRUSTED_PROXIES', '10.0.0.0/8, ::1', (c) => c.trustedProxies, ['10.0.0.0/8', '::1/128']],
  [
    'BERTH_REGIONS',
    'eu=Europe@registry.eu.example.com;listen=0.0.0.0:5001,us=United States@registry.us.example.com:443',
    (c) => c.regions,
    [
      { id: 'eu', name: 'Europe', host: 'registry.eu.example.com', listen: { host: '0.0.0.0', port: 5001 } },
      { id: 'us', name: 'United States', host: 'registry.us.example.com:443', listen: null },
    ],
  ],
]
for (const [name, text, read, expected] of ACCEPTED) {
  test(`${name}=${text} is understood`, () =>
    assert.deepEqual(read(loadConfig({ [name]: text }, folder)), expected))
}

const REFUSED: Record<string, string>[] = [
  { BERTH_REGIONS: 'eu=Europe@a:1,eu=Again@b:1' },
  { BERTH_REGIONS: 'eu=Europe@a:1,us=Other@a:1' },
  { BERTH_REGIONS: 'EU=Europe@a' },
  { BERTH_REGIONS: 'eu=Europe@host with space' },
  { BERTH_CONSOLE_ADDR: '127.0.0.1:5000' },
  { BERTH_OPERATOR_TOKEN: 'short' },
  { BERTH_ROOT_KEY: 'bm90IDMyIGJ5dGVz' },
  { BERTH_DATABASE_URL: 'mysql://x' },
  { BERTH_S3_ENDPOINT: 'http://127.0.0.1:9000' },
  { BERTH_S3_BUCKET: 'b', BERTH_S3_ACCESS_KEY_ID: 'id' },
  { BERTH_BLOB_DELIVERY: 'redirect' },
  { BERTH_BLOB_DELIVERY: 'accel', BERTH_S3_BUCKET: 'b' },
  { BERTH_ROLE: 'region' },
  { BERTH_REDIRECT_SECONDS: '61' },
  { BERTH_TRUSTED_PROXIES: 'everyone' },
  { BERTH_OPERATOR_TOKEN_FILE: '/nonexistent/token' },
  { BERTH_CONFIG: '/nonexistent/berth.yaml' },
]
for (const env of REFUSED) {
  test(`refused: ${JSON.stringify(env)}`, () => {
    assert.throws(
      () => loadConfig(env, folder),
      (error: unknown) => error instanceof ConfigError && error.mistakes.length === 1,
    )
  })
}

test('berth.yaml gives values, the environment wins, unknown keys are mistakes', () => {
  const path = join(folder, 'custom.yaml')
  writeFileSync(path, 'inlineLimit: 1KiB\nblobLease: 1h\ntrustedProxies: [10.0.0.0/8]\n')
  const config = loadConfig({ BERTH_CONFIG: path, BERTH_BLOB_LEASE: '2h' }, folder)
  assert.equal(config.inlineLimitBytes, 1024)
  assert.equal(config.blobLeaseMs, 7_200_000)
  assert.deepEqual(config.trustedProxies, ['10.0.0.0/8'])
  writeFileSync(path, 'inlineLimt: 1KiB\n')
  assert.throws(() => loadConfig({ BERTH_CONFIG: path }, folder), /inlineLimt/)
})

test('secrets come from files and are never printed', () => {
  const path = join(folder, 'token')
  writeFileSync(path, 'an-operator-token-of-the-test\n')
  const config = loadConfig(
    { BERTH_OPERATOR_TOKEN_FILE: path, BERTH_DATABASE_URL: 'postgres://u:canary-password@h/d' },
    folder,
  )
  assert.equal(config.operatorToken, 'an-operator-token-of-the-test')
  const printed = printConfig(config)
  assert.doesNotMatch(printed, /canary-password|an-operator-token/)
  assert.match(printed, /operatorToken: \(secret\)/)
})

test('a secret and its file together are a mistake', () => {
  const path = join(folder, 'both')
  writeFileSync(path, 'an-operator-token-of-the-test')
  assert.throws(
    () =>
      loadConfig(
        { BERTH_OPERATOR_TOKEN: 'another-token-of-24-characters', BERTH_OPERATOR_TOKEN_FILE: path },
        folder,
      ),
    /both set/,
  )
})

test('single sign-on needs an issuer on TLS and a client id, and its secret is not printed', () => {
  const good = {
    BERTH_SSO_ISSUER: 'https://id.example.org/realm',
    BERTH_SSO_CLIENT_ID: 'berth',
    BERTH_SSO_CLIENT_SECRET: 'very-secret-text',
  }
  const config = loadConfig(good, folder)
  assert.equal(config.ssoIssuer, 'https://id.example.org/realm')
  assert.doesNotMatch(printConfig(config), /very-secret-text/)
  loadConfig({ ...good, BERTH_SSO_ISSUER: 'http://127.0.0.1:9000' }, folder)
  for (const [wrong, message] of [
    [{ BERTH_SSO_ISSUER: 'http://id.example.org' }, /must be an https URL/],
    [{ BERTH_SSO_CLIENT_ID: '' }, /BERTH_SSO_CLIENT_ID/],
    [{ BERTH_SSO_DOMAINS: 'example' }, /no domain such as example\.org/],
  ] as const) {
    assert.throws(() => loadConfig({ ...good, ...wrong }, folder), message)
  }
})
