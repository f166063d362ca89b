import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { test } from 'node:test'
import { createOutgoing } from './create-outgoing.ts'
import { OutgoingError } from './outgoing-error.ts'
import { dnsResolver } from './resolve-name.ts'

const TYPES: Record<number, 'A' | 'AAAA'> = { 1: 'A', 28: 'AAAA' }
const NAME_ERROR = 3
const SERVER_FAILURE = 2

/** Addresses, or the code of a failure. */
type Answer = readonly number[][] | number

/** A name server on loopback (RFC 1035, section 4): one question a packet, answers of one type. */
async function startNameServer(answer: (name: string, type: 'A' | 'AAAA') => Answer) {
  const socket = createSocket('udp4')
  const asked: string[] = []
  socket.on('message', (query, from) => {
    const { name, end } = readName(query)
    const type = TYPES[query.readUInt16BE(end)] ?? 'A'
    asked.push(`${type} ${name}`)
    const given = answer(name, type)
    const addresses = typeof given === 'number' ? [] : given
    const header = Buffer.alloc(12)
    query.copy(header, 0, 0, 2)
    header.writeUInt16BE(0x8180 | (typeof given === 'number' ? given : 0), 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(addresses.length, 6)
    const records = addresses.map((bytes) => {
      const record = Buffer.alloc(12)
      record.writeUInt16BE(0xc00c, 0)
      record.writeUInt16BE(type === 'A' ? 1 : 28, 2)
      record.writeUInt16BE(1, 4)
      record.writeUInt16BE(bytes.length, 10)
      return Buffer.concat([record, Buffer.from(bytes)])
    })
    socket.send(Buffer.concat([header, query.subarray(12, end + 4), ...records]), from.port, from.address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return {
    server: `127.0.0.1:${socket.address().port}`,
    asked,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => socket.close(() => resolve())),
  }
}

function readName(query: Buffer): { name: string; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.'), end: at + 1 }
}

const LOOPBACK_V6 = [...Buffer.alloc(15), 1]

test('both families are asked, and what either answers is all there is', async () => {
  await using names = await startNameServer((_name, type) =>
    type === 'A' ? [[192, 0, 43, 10]] : [LOOPBACK_V6],
  )
  const addresses = await dnsResolver([names.server])('registry.example')
  assert.deepEqual([...addresses], ['192.0.43.10', '::1'])
  assert.deepEqual(names.asked.sort(), ['A registry.example', 'AAAA registry.example'])
})

test('an address of one family is enough; a name without any is told from a server that fails', async () => {
  await using names = await startNameServer((name, type) => {
    if (name === 'v4.example') return type === 'A' ? [[192, 0, 43, 10]] : SERVER_FAILURE
    if (name === 'none.example') return NAME_ERROR
    if (name === 'empty.example') return []
    return type === 'A' ? NAME_ERROR : SERVER_FAILURE
  })
  const resolve = dnsResolver([names.server])
  assert.deepEqual(await resolve('v4.example'), ['192.0.43.10'])
  const codeOf = (name: string) =>
    resolve(name).then(
      () => assert.fail(),
      (error: NodeJS.ErrnoException) => error.code,
    )
  assert.equal(await codeOf('none.example'), 'ENOTFOUND')
  assert.equal(await codeOf('empty.example'), 'ENODATA')
  assert.equal(await codeOf('broken.example'), 'ESERVFAIL')
})

test('a name of the real DNS that leads inside is refused', async () => {
  await using names = await startNameServer((_name, type) =>
    type === 'A' ? [[192, 0, 43, 10]] : [LOOPBACK_V6],
  )
  const outgoing = createOutgoing({
    allow: [],
    extraCaPem: null,
    userAgent: 'berth/test',
    resolve: dnsResolver([names.server]),
  })
  await assert.rejects(
    outgoing.request('https://rebind.example/', { timeoutMs: 10_000 }),
    (error) => error instanceof OutgoingError && error.reason === 'refused_address',
  )
})
