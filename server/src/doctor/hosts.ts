import { X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Config } from '../config/config.ts'
import { broken, type Check, doubtful, fine, look, messageOf } from './check.ts'

const ANSWER_TIMEOUT_MS = 10_000
const EXPIRY_WARNING_DAYS = 14
const DAY_MS = 86_400_000
/** Tokens carry times in seconds and are believed within a minute; more than a few seconds is worth knowing. */
const CLOCK_SKEW_WARNING_MS = 5_000
/** No connection was made: the server may simply not run. */
const UNREACHABLE = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'])

/** The certificate files that the listeners use. */
export async function checkCertificate(config: Config, nowMs: number): Promise<readonly Check[]> {
  const { tlsCertFile } = config
  if (tlsCertFile === null) return []
  const nextStep =
    'Set BERTH_TLS_CERT_FILE and BERTH_TLS_KEY_FILE to a certificate chain and its key, as PEM.'
  return look('certificate', nextStep, async () => {
    const certificate = new X509Certificate(await readFile(tlsCertFile))
    const hosts = [...config.regions.map(({ host }) => host), config.registryHost ?? []].flat()
    const missing = hosts.map(hostNameOf).filter((host) => !covers(certificate, host))
    if (missing.length > 0) {
      const message = `The certificate in ${tlsCertFile} is not for ${missing.join(', ')}.`
      return broken('certificate', message, 'Have these names added to it, or use a wildcard certificate.')
    }
    return expiryOf('certificate', certificate, nowMs)
  })
}

function covers(certificate: X509Certificate, host: string): boolean {
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined
}

function expiryOf(name: string, certificate: X509Certificate, nowMs: number): Check {
  const left = (Date.parse(certificate.validTo) - nowMs) / DAY_MS
  const nextStep = 'Renew it; Berth takes the new file within seconds.'
  if (left <= 0) return broken(name, `It expired on ${certificate.validTo}.`, nextStep)
  if (left < EXPIRY_WARNING_DAYS) return doubtful(name, `It expires in ${Math.ceil(left)} days.`, nextStep)
  return fine(name, `It is good for another ${Math.floor(left)} days.`)
}

/** A host that clients use: its name, its certificate, and what answers there. */
export async function checkHost(
  host: string,
  config: Pick<Config, 'scheme'>,
  now: () => number,
): Promise<readonly Check[]> {
  const name = `host ${host}`
  const unknown = await checkName(name, host)
  if (unknown !== null) return [unknown]
  const scheme = await schemeOf(host, config.scheme)
  if (scheme === null) return [silent(name, host)]
  return look(name, 'Look at the log of the server, and of the proxy in front.', async () => {
    const sentAt = now()
    const answer = await get(`${scheme}://${host}/v2/`)
    const skew = skewOf(answer, sentAt, now())
    return [registryAnswer(name, `${scheme}://${host}`, answer), ...(skew === null ? [] : [skew])]
  })
}

/**
 * The console as people reach it, which `berth login` and every sign-in depend on: its name, its certificate, and what
 * answers there.
 */
export async function checkConsole({ consoleUrl }: Pick<Config, 'consoleUrl'>): Promise<readonly Check[]> {
  const { host, origin } = new URL(consoleUrl)
  const name = `console ${origin}`
  const unknown = await checkName(name, host)
  if (unknown !== null) return [unknown]
  const nextStep =
    'BERTH_CONSOLE_URL must begin with what answers there, and its certificate must be for this name.'
  return look(name, nextStep, async () => {
    const answer = await getUnlessUnreachable(`${origin}/livez`)
    if (answer === null) return silent(name, host)
    if (answer.statusCode === 200) return fine(name, `A console answers at ${origin}.`)
    const message = `${origin}/livez answers ${answer.statusCode}, which no console does.`
    return broken(
      name,
      message,
      'BERTH_CONSOLE_URL must lead to the console, and a proxy must pass all paths on.',
    )
  })
}

/** What is wrong with the name of a host; null: nothing. */
async function checkName(name: string, host: string): Promise<Check | null> {
  const hostName = hostNameOf(host)
  if (isIP(hostName) !== 0) return null
  try {
    await lookup(hostName)
    return null
  } catch (error) {
    const message = `The name ${hostName} cannot be resolved (${messageOf(error)}).`
    return broken(name, message, `Add a DNS record for ${hostName} that leads to this server.`)
  }
}

function silent(name: string, host: string): Check {
  const nextStep = 'Start the server, then run this again; or check the proxy in front.'
  return doubtful(name, `Nothing answers at ${host}.`, nextStep)
}

/** Null when no connection is made. Throws when one is and fails, as for a certificate that is not to be trusted. */
async function getUnlessUnreachable(url: string): Promise<IncomingMessage | null> {
  try {
    return await get(url)
  } catch (error) {
    if (UNREACHABLE.has((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}

/** A proxy may speak TLS where the server itself does not. */
async function schemeOf(host: string, own: 'http' | 'https'): Promise<'http' | 'https' | null> {
  if (await speaksTls(host)) return 'https'
  if (own === 'https') return null
  try {
    await get(`http://${host}/v2/`)
    return 'http'
  } catch {
    return null
  }
}

function speaksTls(host: string): Promise<boolean> {
  const { hostname, port } = new URL(`https://${host}`)
  return new Promise((resolve) => {
    const options = { host: hostname, port: Number(port || 443), servername: isIP(hostname) ? '' : hostname }
    // Only whether it is TLS at all: the request after this one checks the certificate.
    const socket = connectTls({ ...options, rejectUnauthorized: false }, () => done(true))
    const done = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => done(false))
    socket.once('error', () => done(false))
  })
}

function registryAnswer(name: string, origin: string, answer: IncomingMessage): Check {
  const { statusCode, headers } = answer
  if (statusCode !== 401 || headers['docker-distribution-api-version'] === undefined) {
    const message = `${origin}/v2/ answers ${statusCode}, which no registry does.`
    return broken(name, message, 'Another program has this port, or a proxy does not pass /v2/ on.')
  }
  const realm = /realm="([^"]*)"/.exec(headers['www-authenticate'] ?? '')?.[1] ?? ''
  if (!realm.startsWith(`${origin}/`)) {
    const message = `Clients at ${origin} are sent to ${realm || 'nowhere'} for their tokens.`
    return broken(
      name,
      message,
      'The proxy in front must pass Host and X-Forwarded-Proto, and its address must be in BERTH_TRUSTED_PROXIES.',
    )
  }
  return fine(name, `A registry answers at ${origin}.`)
}

function skewOf({ headers }: IncomingMessage, sentAt: number, receivedAt: number): Check | null {
  const there = Date.parse(headers.date ?? '')
  if (Number.isNaN(there)) return null
  // The header has whole seconds.
  const skewMs = there < sentAt - 1000 ? sentAt - there : Math.max(0, there - receivedAt)
  if (skewMs < CLOCK_SKEW_WARNING_MS) return null
  const message = `The clock there is ${Math.round(skewMs / 1000)} s away from this machine's.`
  return doubtful('clock', message, 'Let both follow an NTP server: tokens carry times.')
}

function get(url: string): Promise<IncomingMessage> {
  const request = url.startsWith('https:') ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const sent = request(url, { timeout: ANSWER_TIMEOUT_MS }, (answer) => {
      answer.resume()
      resolve(answer)
    })
    sent.once('timeout', () => sent.destroy(new Error('it does not answer')))
    sent.once('error', reject)
    sent.end()
  })
}

function hostNameOf(host: string): string {
  return new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, '')
}
