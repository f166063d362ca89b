import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { addressIdentity, normalizeAddress, parseCidrs } from './cidr.ts'
import { clientAddress } from './client-address.ts'

const SEED = 20261122

describe('parseCidrs', () => {
  const table: [cidr: string, address: string, contains: boolean][] = [
    ['10.0.0.0/8', '10.1.2.3', true],
    ['10.0.0.0/8', '11.1.2.3', false],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['::ffff:10.0.0.0/104', '11.1.2.3', false],
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.8', false],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['2001:db8::/32', '2001:db8:1::5', true],
    ['2001:db8::/32', '2001:db9::5', false],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['::/0', '10.0.0.1', false],
    ['127.0.0.0/8', 'not an address', false],
    ['127.0.0.0/8', '', false],
    ['127.0.0.0/8', '0x7f.1', false],
  ]
  for (const [cidr, address, contains] of table) {
    it(`${cidr} ${contains ? 'contains' : 'does not contain'} ${address}`, () => {
      assert.equal(parseCidrs([cidr])?.contains(address), contains)
    })
  }

  it('refuses what is not a network', () => {
    const wrong = [
      '',
      '10.0.0.0/33',
      '10.0.0.0/-1',
      '10.0.0.0/08',
      '10.0.0.0/8/8',
      '10.0/8',
      '2001:db8::/129',
      'a/8',
      '10.0.0.0/',
    ]
    for (const text of wrong) assert.equal(parseCidrs([text]), null, text)
    assert.equal(parseCidrs(Array(101).fill('10.0.0.0/8')), null)
  })
})

describe('addressIdentity', () => {
  it('is the address of IPv4 and the /64 of IPv6', () => {
    assert.equal(addressIdentity('::ffff:192.0.2.1'), '192.0.2.1')
    assert.equal(addressIdentity('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64')
    assert.equal(addressIdentity('2001:db8:1:2:ffff::'), addressIdentity('2001:db8:1:2::1'))
    assert.equal(addressIdentity('nonsense'), 'unknown')
  })
})

describe('clientAddress', () => {
  const proxies = parseCidrs(['10.0.0.0/8', '2001:db8::/32'])
  assert.ok(proxies)
  const table: [what: string, socket: string | undefined, forwarded: string | undefined, client: string][] = [
    ['no proxy', '203.0.113.9', undefined, '203.0.113.9'],
    ['a header from an untrusted peer is ignored', '203.0.113.9', '198.51.100.1', '203.0.113.9'],
    ['one trusted proxy', '10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['what the client itself wrote is on the left', '10.0.0.1', '1.2.3.4, 198.51.100.1', '198.51.100.1'],
    ['two trusted proxies', '10.0.0.1', '198.51.100.1, 10.0.0.2', '198.51.100.1'],
    ['all hops trusted: the leftmost', '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['nonsense stops at the proxy that passed it on', '10.0.0.1', 'evil, 10.0.0.2', '10.0.0.2'],
    ['empty hop', '10.0.0.1', '', '10.0.0.1'],
    ['port', '10.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
    ['bracketed IPv6 with port', '2001:db8::1', '[2001:db9::7]:4711', '2001:db9::7'],
    ['IPv4-mapped socket', '::ffff:10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['no socket address', undefined, '198.51.100.1', 'unknown'],
    [
      'of a header that is too long the end counts, which the proxy wrote',
      '10.0.0.1',
      `${'1.1.1.1,'.repeat(400)} 198.51.100.1`,
      '198.51.100.1',
    ],
    [
      'nothing is read from where a header that is too long was cut',
      '10.0.0.1',
      `${'1'.repeat(3000)}10.0.0.9`,
      '10.0.0.1',
    ],
  ]
  for (const [what, socket, forwarded, client] of table) {
    it(what, () => assert.equal(clientAddress(socket, forwarded, proxies), client))
  }

  it('is an address or "unknown" whatever is sent', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (header) => {
        return normalizeAddress(clientAddress('10.0.0.1', header, proxies)) !== null
      }),
      { seed: SEED },
    )
  })
})
