import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressKind, parseIpAddress } from './address-policy.ts'
import { type AllowEntry, parseAllowList } from './allow-list.ts'
import { OutgoingError } from './outgoing-error.ts'
import { checkUrl, type Resolve, resolveTarget } from './target.ts'

const unasked: Resolve = () => assert.fail('no name was to be looked up')

function entries(text: string): readonly AllowEntry[] {
  const parsed = parseAllowList(text)
  assert.ok(parsed.ok, JSON.stringify(parsed))
  return parsed.entries
}

/** The addresses that a call would connect to, or the reason why it would not. */
async function outcome(url: string, allow = '', resolve: Resolve = unasked): Promise<string> {
  try {
    const list = entries(allow)
    return (await resolveTarget(checkUrl(url, list), list, resolve)).join(' ')
  } catch (error) {
    assert.ok(error instanceof OutgoingError, String(error))
    return error.reason
  }
}

// Every spelling that a URL parser or a C library takes for an address that is not public.
const HOSTILE_HOSTS = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '0x7f.0.0.1',
  '0x7f000001',
  '2130706433',
  '017700000001',
  '0177.0.0.1',
  '127.0.0.1.',
  '①②⑦.⓪.⓪.①',
  '127。0。0。1',
  '%31%32%37.0.0.1',
  '0',
  '0.0.0.0',
  '0x',
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.0.1',
  '100.64.0.1',
  '169.254.169.254',
  '169.254.170.2',
  '168.63.129.16',
  '100.100.100.200',
  '192.0.0.192',
  '192.0.2.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '255.255.255.255',
  '[::1]',
  '[::]',
  '[0:0:0:0:0:0:0:1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[::ffff:a9fe:a9fe]',
  '[::127.0.0.1]',
  '[64:ff9b::127.0.0.1]',
  '[64:ff9b::a9fe:a9fe]',
  '[64:ff9b:1::1]',
  '[2002:7f00:1::]',
  '[2002:a9fe:a9fe::1]',
  '[2001:0:7f00:1::]',
  '[2001:db8::1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[fd12:3456::1]',
  '[fe80::1]',
  '[fec0::1]',
  '[ff02::1]',
  '[3ffe::1]',
  '[3fff::1]',
  '[100::1]',
  '[5f00::1]',
  'localhost',
  'localhost.',
  'LOCALHOST',
  'a.localhost',
  'metadata.google.internal',
  'metadata',
]

test('no spelling of an address that is not public is called', async () => {
  for (const host of HOSTILE_HOSTS) {
    assert.equal(await outcome(`https://${host}/`), 'refused_address', host)
  }
})

test('what is no URL to call is refused before anything is looked up', async () => {
  const urls = [
    'http://registry.example/',
    'ftp://registry.example/',
    'file:///etc/passwd',
    'gopher://registry.example/',
    'https://user@registry.example/',
    'https://user:secret@registry.example/',
    'https://:secret@registry.example/',
    'https://registry.example:22/',
    'https://registry.example:25/',
    'https://registry.example:80/',
    'https://registry.example:6379/',
    'https://registry.example:0/',
    'https://registry..example/',
    'https://registry example/',
    'https://-registry!.example/',
    'https://regi$stry.example/',
    `https://${'a'.repeat(64)}.example/`,
    'https://[fe80::1%25eth0]/',
    'https:///',
    '//registry.example/',
    'registry.example',
    '',
    `https://registry.example/${'a'.repeat(9_000)}`,
  ]
  for (const url of urls) assert.equal(await outcome(url), 'refused_url', url.slice(0, 60))
})

test('one address among several that is not public is enough to refuse the name', async () => {
  const bad = ['10.0.0.1', '127.0.0.1', '::1', 'fe80::1%eth0', '::ffff:169.254.169.254', 'not an address', '']
  for (const address of bad) {
    assert.equal(
      await outcome('https://a.example/', '', async () => ['192.0.43.10', address]),
      'refused_address',
    )
    assert.equal(
      await outcome('https://a.example/', '', async () => [address, '192.0.43.10']),
      'refused_address',
    )
  }
  assert.equal(await outcome('https://a.example/', '', async () => []), 'dns')
  const many = Array.from({ length: 17 }, (_, index) => `192.0.43.${index}`)
  assert.equal(await outcome('https://a.example/', '', async () => many), 'dns')
})

test('a public name is called at exactly the addresses that were looked up, once', async () => {
  let asked = 0
  const resolve: Resolve = async (name) => {
    asked += 1
    assert.equal(name, 'registry.example')
    // A name that changes its mind: a second question would get another answer.
    return asked === 1 ? ['192.0.43.10', '2606:4700::1111'] : ['127.0.0.1']
  }
  assert.equal(
    await outcome('https://Registry.Example.:8443/v2/', '', resolve),
    '192.0.43.10 2606:4700::1111',
  )
  assert.equal(asked, 1)
})

test('the public literal itself is called, and no name is looked up for it', async () => {
  assert.equal(await outcome('https://192.0.43.10/'), '192.0.43.10')
  assert.equal(await outcome('https://0xc0002b0a/'), '192.0.43.10')
  assert.equal(await outcome('https://[2606:4700::1111]/'), '2606:4700::1111')
})

test('the message names neither a private address nor what is in the URL', () => {
  const url = 'https://127.0.0.1:9443/path?token=secret-of-the-url'
  const list = entries('')
  const failed = resolveTarget(checkUrl(url, list), list, unasked)
  return assert.rejects(failed, (error: Error) => !/secret|path/.test(error.message))
})

// [allow-list, URL, what its name resolves to, outcome]
const ALLOWED: readonly (readonly [string, string, readonly string[], string])[] = [
  ['10.0.0.0/8', 'https://a.corp/', ['10.1.2.3'], '10.1.2.3'],
  ['10.0.0.0/8', 'https://10.1.2.3:5000/', [], '10.1.2.3'],
  ['10.0.0.0/8', 'https://[::ffff:10.1.2.3]/', [], '10.1.2.3'],
  ['::ffff:10.0.0.0/104', 'https://10.1.2.3/', [], '10.1.2.3'],
  ['10.0.0.0/8', 'https://a.corp/', ['11.1.2.3', '192.168.0.1'], 'refused_address'],
  ['10.0.0.0/8', 'http://10.1.2.3/', [], 'refused_url'],
  ['10.0.0.5', 'https://10.0.0.5/', [], '10.0.0.5'],
  ['10.0.0.5', 'https://10.0.0.6/', [], 'refused_address'],
  ['10.0.0.5:5000', 'https://10.0.0.5:5000/', [], '10.0.0.5'],
  ['10.0.0.5:5000', 'https://10.0.0.5:5001/', [], 'refused_address'],
  ['fd00::/8', 'https://[fd00::5]/', [], 'fd00::5'],
  ['[fd00::5]:5000', 'https://[fd00::5]:5000/', [], 'fd00::5'],
  ['fd00::5', 'https://[fd00::5]:5000/', [], 'fd00::5'],
  ['registry.corp', 'https://registry.corp/', ['192.168.1.1'], '192.168.1.1'],
  ['Registry.Corp.', 'https://registry.corp./', ['192.168.1.1'], '192.168.1.1'],
  ['registry.corp', 'https://evil.registry.corp/', ['192.168.1.1'], 'refused_address'],
  ['registry.corp', 'https://registry.corp.evil.example/', ['192.168.1.1'], 'refused_address'],
  ['registry.corp:5000', 'https://registry.corp/', ['192.168.1.1'], 'refused_address'],
  ['registry.corp:22', 'https://registry.corp:22/', ['192.168.1.1'], '192.168.1.1'],
  ['registry.corp:22', 'https://other.corp:22/', ['192.168.1.1'], 'refused_url'],
  ['http://registry.corp:5000', 'http://registry.corp:5000/', ['192.168.1.1'], '192.168.1.1'],
  ['http://registry.corp:5000', 'https://registry.corp:5000/', ['192.168.1.1'], '192.168.1.1'],
  ['http://registry.corp:5000', 'http://registry.corp/', ['192.168.1.1'], 'refused_url'],
  ['http://registry.corp', 'http://registry.corp/', ['192.168.1.1'], '192.168.1.1'],
  ['http://registry.corp', 'http://registry.corp:5000/', ['192.168.1.1'], 'refused_url'],
  ['http://registry.corp:80', 'http://evil.corp/', ['192.168.1.1'], 'refused_url'],
  ['127.0.0.1', 'https://localhost:5000/', [], '127.0.0.1'],
  ['localhost', 'https://localhost:5000/', [], '127.0.0.1 ::1'],
  ['http://localhost:5000', 'http://localhost:5000/', [], '127.0.0.1 ::1'],
  // Neither everything nor a name opens the metadata services: each needs its own address in the list.
  ['0.0.0.0/0,::/0', 'https://10.0.0.1/', [], '10.0.0.1'],
  ['0.0.0.0/0,::/0', 'https://169.254.169.254/', [], 'refused_address'],
  ['0.0.0.0/0,::/0', 'https://[fd00:ec2::254]/', [], 'refused_address'],
  ['a.corp', 'https://a.corp/', ['169.254.169.254'], 'refused_address'],
  ['169.254.169.254/32', 'https://169.254.169.254/', [], 'refused_address'],
  ['169.254.169.254', 'https://169.254.169.254/', [], '169.254.169.254'],
  ['0.0.0.0/0', 'https://metadata.google.internal/', ['10.0.0.1'], 'refused_address'],
]

test('the operator allows networks, addresses, names, ports and plain HTTP, each for itself', async () => {
  for (const [allow, url, addresses, expected] of ALLOWED) {
    assert.equal(await outcome(url, allow, async () => addresses), expected, `${url} with ${allow}`)
  }
})

test('an allow-list with mistakes names each of them', () => {
  const bad = [
    '10.0.0.0/33',
    '10.0.0',
    '0x7f.1',
    '300.1.1.1',
    'host:99999',
    'host:0',
    'http://host/path',
    'http://user@host',
    'ftp://host',
    'ho st',
    '*.corp',
    'http://10.0.0.0/8',
    '[::1',
    '/8',
  ]
  const parsed = parseAllowList(bad.join(','))
  assert.ok(!parsed.ok)
  assert.equal(parsed.mistakes.length, bad.length, parsed.mistakes.join('\n'))
  for (const [index, entry] of bad.entries()) assert.ok(parsed.mistakes[index]?.includes(`"${entry}"`), entry)
})

test('public addresses stay public', () => {
  for (const text of [
    '1.1.1.1',
    '8.8.8.8',
    '172.32.0.1',
    '192.0.43.10',
    '100.128.0.1',
    '2a00:1450::1',
    '64:ff9b::8.8.8.8',
  ]) {
    const address = parseIpAddress(text)
    assert.ok(address !== null)
    assert.equal(addressKind(address), 'public', text)
  }
})
