import type { IncomingMessage } from 'node:http'

// RFC 3986 section 3.2.2 without what no real host has: a name, an IPv4 address or an IPv6 one in brackets, and a port.
const HOST = /^(?:[a-z0-9._-]*|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?$/i

/**
 * What is wrong with a request that Node's parser let pass, in words for the client, or null. A proxy and we must
 * never read two different requests: so one Host (RFC 9112 section 3.2), and no transfer coding but chunked (6.1).
 */
export function findRequestMistake(
  request: Pick<IncomingMessage, 'httpVersion' | 'rawHeaders' | 'headers'>,
): string | null {
  const { httpVersion, headers } = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'HTTP/1.0 and HTTP/1.1 are spoken here'
  const hosts = countHosts(request.rawHeaders)
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1')) return 'there must be one Host header'
  if (!HOST.test(headers.host ?? '')) return 'the Host header is malformed'
  const coding = headers['transfer-encoding']
  // RFC 9112 section 6.1: whoever passed this on may have seen another end of it.
  if (coding !== undefined && httpVersion === '1.0') return 'HTTP/1.0 has no transfer coding'
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    return 'no transfer coding but chunked is understood'
  }
  return null
}

function countHosts(rawHeaders: readonly string[]): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 4 && name.toLowerCase() === 'host') count += 1
  }
  return count
}
