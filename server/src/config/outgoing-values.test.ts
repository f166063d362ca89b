import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { after, test } from 'node:test'
import { ConfigError, loadConfig } from './config.ts'

const folder = mkdtempSync(join(tmpdir(), 'berth-outgoing-values-'))
after(() => rmSync(folder, { recursive: true }))

const [certificate = ''] = rootCertificates

function mistakesOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env, folder)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.mistakes
  }
  return []
}

test('nothing is allowed, trusted or mapped unless somebody says so', () => {
  const config = loadConfig({}, folder)
  assert.deepEqual([config.outgoingAllow, config.outgoingCaPem, config.upstreamEndpoints], [[], null, {}])
})

test('an allow-list, and every entry that is wrong', () => {
  const config = loadConfig({ BERTH_OUTGOING_ALLOW: '10.0.0.0/8, http://Reg.corp:5000' }, folder)
  assert.deepEqual(config.outgoingAllow, [
    { host: null, network: { address: '10.0.0.0', bits: 8 }, port: null, plainHttp: false },
    { host: 'reg.corp', network: null, port: 5000, plainHttp: true },
  ])
  const [mistake = ''] = mistakesOf({ BERTH_OUTGOING_ALLOW: '10.0.0.0/99,fine.example,http://a/b' })
  assert.match(mistake, /^BERTH_OUTGOING_ALLOW has "10\.0\.0\.0\/99".*"http:\/\/a\/b"/)
})

test('endpoints by host, and every one that is wrong', () => {
  const text = 'docker.io=https://127.0.0.1:5443, Reg.corp:5000=http://mirror.corp/'
  assert.deepEqual(loadConfig({ BERTH_UPSTREAM_ENDPOINTS: text }, folder).upstreamEndpoints, {
    'docker.io': 'https://127.0.0.1:5443',
    'reg.corp:5000': 'http://mirror.corp',
  })
  const bad = [
    'docker.io',
    '=https://a',
    'a=b',
    'a=ftp://b',
    'a=https://b/path',
    'a=https://u@b',
    'a/b=https://c',
    'u@a=https://b',
  ]
  const [mistake = ''] = mistakesOf({
    BERTH_UPSTREAM_ENDPOINTS: [...bad, 'a=https://b', 'a=https://c'].join(','),
  })
  for (const part of bad) assert.ok(mistake.includes(`"${part}"`), part)
  assert.match(mistake, /names a twice/)
})

test('the file of authorities is found from the working folder, and only its certificates are read', () => {
  writeFileSync(
    join(folder, 'ca.pem'),
    `a comment\n${certificate}\n-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n`,
  )
  const { outgoingCaPem } = loadConfig({ BERTH_OUTGOING_CA_FILE: 'ca.pem' }, folder)
  assert.equal(outgoingCaPem?.trim(), certificate.trim())
})

test('a file of authorities that cannot be read, has none, or is damaged is a mistake', () => {
  writeFileSync(join(folder, 'empty.pem'), 'nothing')
  writeFileSync(
    join(folder, 'damaged.pem'),
    `${certificate}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
  )
  for (const [file, text] of [
    ['missing.pem', /ENOENT/],
    ['empty.pem', /holds no PEM certificate/],
    ['damaged.pem', /certificate number 2/],
  ] as const) {
    const [mistake = '', ...more] = mistakesOf({ BERTH_OUTGOING_CA_FILE: file })
    assert.match(mistake, text)
    assert.deepEqual(more, [])
  }
})
