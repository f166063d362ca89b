import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type AllowEntry, canonicalHost, parseAllowList } from '../outgoing/allow-list.ts'
import { InvalidValue } from './parse-value.ts'

const ENDPOINTS_MAX = 50
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** `10.0.0.0/8,registry.corp.example:5000,http://10.0.0.5:5000`. Names every entry that is not understood. */
export function parseOutgoingAllow(value: string): readonly AllowEntry[] {
  const parsed = parseAllowList(value)
  if (!parsed.ok) throw new InvalidValue(parsed.mistakes.join('; and '))
  return parsed.entries
}

/** `docker.io=https://mirror.corp.example,ghcr.io=https://127.0.0.1:5443` → origins by host. */
export function parseUpstreamEndpoints(value: string): Readonly<Record<string, string>> {
  const parts = value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  if (parts.length > ENDPOINTS_MAX) throw new InvalidValue(`may name at most ${ENDPOINTS_MAX} hosts`)
  const mistakes: string[] = []
  const endpoints = new Map<string, string>()
  for (const part of parts) {
    const endpoint = parseEndpoint(part)
    if (endpoint === null) mistakes.push(`has "${part}", which must look like docker.io=https://host:port`)
    else if (endpoints.has(endpoint.host)) mistakes.push(`names ${endpoint.host} twice`)
    else endpoints.set(endpoint.host, endpoint.origin)
  }
  if (mistakes.length > 0) throw new InvalidValue(mistakes.join('; and '))
  return Object.fromEntries(endpoints)
}

function parseEndpoint(part: string): { host: string; origin: string } | null {
  const [, host, target] = /^([^=\s]+)=(\S+)$/.exec(part) ?? []
  if (host === undefined || target === undefined) return null
  const named = URL.canParse(`https://${host}`) ? new URL(`https://${host}`) : null
  const url = URL.canParse(target) ? new URL(target) : null
  if (named === null || canonicalHost(named.hostname) === null || named.pathname !== '/') return null
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.pathname !== '/')
    return null
  const hasMore =
    `${url.search}${url.hash}${url.username}${url.password}${named.username}${named.search}` !== ''
  return hasMore ? null : { host: named.host, origin: url.origin }
}

/** The certificates of a PEM file as one text. Throws `InvalidValue` when it cannot be read or holds none. */
export function readCaFile(path: string): string {
  let content: string
  try {
    content = readFileSync(path, 'utf8')
  } catch (error) {
    throw new InvalidValue(`names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  // Only the certificates: a key that lies beside them in the file is none of the guard's.
  const certificates = content.match(CERTIFICATE) ?? []
  if (certificates.length === 0) throw new InvalidValue(`names ${path}, which holds no PEM certificate`)
  for (const [index, certificate] of certificates.entries()) {
    try {
      new X509Certificate(certificate)
    } catch {
      throw new InvalidValue(`names ${path}, whose certificate number ${index + 1} is damaged`)
    }
  }
  return `${certificates.join('\n')}\n`
}
