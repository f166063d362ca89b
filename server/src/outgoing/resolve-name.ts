import { lookup, Resolver } from 'node:dns/promises'
import { DNS_TIMEOUT_MS, DNS_TRIES } from './limits.ts'
import type { Resolve } from './target.ts'

const NO_SUCH_RECORD = new Set(['ENODATA', 'ENOTFOUND'])

/**
 * Asks the DNS servers themselves. The system's resolver would wait in one of the few threads that files and database
 * connections need too: a name whose servers never answer would hold them up for everybody. Rejects with the more telling
 * of the two errors when neither question was answered with an address. Default: the servers of the system.
 */
export function dnsResolver(servers?: readonly string[]): Resolve {
  return async (name) => {
    const resolver = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: DNS_TRIES })
    if (servers !== undefined) resolver.setServers(servers)
    const [ipv4, ipv6] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
    const found = [ipv4, ipv6].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    if (found.length > 0) return found
    const errors = [ipv4, ipv6].flatMap((answer) =>
      answer.status === 'rejected' ? [answer.reason as NodeJS.ErrnoException] : [],
    )
    // "No such record" of one family says nothing about the other, whose question failed.
    const telling = errors.find(({ code }) => !NO_SUCH_RECORD.has(code ?? ''))
    throw telling ?? errors[0] ?? new Error(`${name} has no address`)
  }
}

/** Asks the system, hosts file and search domains included: for names that the operator has listed. */
export const resolveBySystem: Resolve = async (name) => {
  const found = await lookup(name, { all: true, order: 'verbatim' })
  return found.map(({ address }) => address)
}
