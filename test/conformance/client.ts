import { Agent, type IncomingHttpHeaders, request as httpRequest } from 'node:http'

/** An answer, read to its end. */
export type Reply = {
  readonly status: number
  /** Of the request that this answers, after redirects. */
  readonly url: URL
  /** Repeated fields joined with commas. */
  readonly headers: IncomingHttpHeaders
  /** Every field as the list of its occurrences. */
  readonly fields: NodeJS.Dict<string[]>
  readonly body: Buffer
}

export type RequestOptions = {
  headers?: Record<string, string>
  /** Several buffers go out with chunked transfer coding, one goes out with Content-Length. */
  body?: Buffer | readonly Buffer[]
}

export type Credential = { username: string; password: string }

export type Client = {
  readonly origin: URL
  /** Sends a request and reads its answer. `target` is a path, or a URL from an earlier answer. */
  request(method: string, target: string | URL, options?: RequestOptions): Promise<Reply>
  /** Ends the connections that are kept open. */
  close(): void
}

export type ClientOptions = {
  origin: string
  /** Null asks anonymously: 401 is then the answer. */
  credential: Credential | null
  /** `bearer` (the default) waits for the challenge and gets a token; `basic` sends the credential at once. */
  scheme?: 'bearer' | 'basic'
  /** Goes into the error that any 5xx answer raises. */
  serverLog?: () => string
}

type Token = { realm: string; text: string }

const redirectLimit = 3
const timeoutMs = 30_000
const shownLogChars = 4000

/**
 * A plain HTTP client of a registry: it knows the Bearer flow (token specification of the distribution project) and
 * redirects, and nothing else. Every status is an answer, but 5xx raises: no case of conformance ever calls for one.
 */
export function createClient(options: ClientOptions): Client {
  const origin = new URL(options.origin)
  const agent = new Agent({ keepAlive: true })
  const tokens = new Map<string, Token>()
  const basic = options.credential === null ? null : basicAuthorization(options.credential)

  async function send(method: string, url: URL, { headers = {}, body }: RequestOptions): Promise<Reply> {
    const reply = await exchange(agent, method, url, headers, body)
    if (reply.status < 500) return reply
    const log = options.serverLog?.().slice(-shownLogChars) ?? ''
    throw new Error(`${method} ${url.pathname} answered ${reply.status}: ${reply.body.toString()}\n${log}`)
  }

  /** One token for each repository and kind of access, however it was first asked for, as the official suite does. */
  function tokenKey(method: string, url: URL): string {
    const repository =
      /^\/v2\/(.*?)\/(blobs|manifests|tags|referrers)\//.exec(url.pathname)?.[1] ?? url.pathname
    const access = method === 'GET' || method === 'HEAD' ? 'pull' : method === 'DELETE' ? 'delete' : 'push'
    return `${access} ${repository}`
  }

  async function fetchToken(challenge: string): Promise<Token> {
    const parameters = new Map(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map((match) => [match[1] as string, match[2] as string]),
    )
    const realm = parameters.get('realm')
    if (realm === undefined) throw new Error(`a Bearer challenge without a realm: ${challenge}`)
    const url = new URL(realm)
    for (const name of ['service', 'scope']) {
      const value = parameters.get(name)
      if (value !== undefined) url.searchParams.append(name, value)
    }
    const reply = await send('GET', url, { headers: basic === null ? {} : { authorization: basic } })
    if (reply.status !== 200)
      throw new Error(`${url.href} answered ${reply.status}: ${reply.body.toString()}`)
    const answer = JSON.parse(reply.body.toString()) as { token?: string; access_token?: string }
    const text = answer.token ?? answer.access_token
    if (text === undefined) throw new Error('the token endpoint answered without a token')
    return { realm, text }
  }

  async function sendWithToken(method: string, url: URL, given: RequestOptions): Promise<Reply> {
    const key = tokenKey(method, url)
    const known = tokens.get(key)
    const first = await send(method, url, withAuthorization(given, known && `Bearer ${known.text}`))
    if (first.status !== 401) return first
    const challenge = first.fields['www-authenticate']?.find((value) => /^bearer /i.test(value))
    if (challenge === undefined) return first
    const token = await fetchToken(challenge)
    tokens.set(key, token)
    return send(method, url, withAuthorization(given, `Bearer ${token.text}`))
  }

  async function request(method: string, target: string | URL, given: RequestOptions = {}): Promise<Reply> {
    let url = new URL(target, origin)
    for (let redirects = 0; ; redirects += 1) {
      const isOwn = url.origin === origin.origin
      const hasOwn = given.headers?.['authorization'] !== undefined
      const reply =
        !isOwn || basic === null || hasOwn
          ? await send(method, url, given)
          : options.scheme === 'basic'
            ? await send(method, url, withAuthorization(given, basic))
            : await sendWithToken(method, url, given)
      const isRedirect = reply.status === 307 && (method === 'GET' || method === 'HEAD')
      if (!isRedirect || redirects === redirectLimit) return reply
      url = locationOf(reply)
    }
  }

  return { origin, request, close: () => agent.destroy() }
}

/** `Basic …` for an Authorization header. */
export function basicAuthorization({ username, password }: Credential): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** The answer's Location, resolved against the request. Throws when there is none. */
export function locationOf(reply: Reply): URL {
  const { location } = reply.headers
  if (location === undefined) throw new Error(`${reply.status} without Location, to ${reply.url.href}`)
  return new URL(location, reply.url)
}

/** The URL with parameters added to its query. */
export function withQuery(url: string | URL, parameters: Record<string, string>): string {
  const text = typeof url === 'string' ? url : `${url.pathname}${url.search}`
  return `${text}${text.includes('?') ? '&' : '?'}${new URLSearchParams(parameters).toString()}`
}

/** The target of `rel="next"` in a Link header, or null when there is none. */
export function nextPage(reply: Reply): string | null {
  const link = reply.headers['link']
  if (link === undefined) return null
  const target = /^<([^>]+)>\s*;\s*rel="next"$/.exec(String(link))?.[1]
  if (target === undefined) throw new Error(`not a link to a next page: ${String(link)}`)
  const url = new URL(target, reply.url)
  return `${url.pathname}${url.search}`
}

function withAuthorization(given: RequestOptions, authorization: string | undefined): RequestOptions {
  return authorization === undefined ? given : { ...given, headers: { ...given.headers, authorization } }
}

function exchange(
  agent: Agent,
  method: string,
  url: URL,
  headers: Record<string, string>,
  body: RequestOptions['body'],
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const pieces = body === undefined ? [] : Buffer.isBuffer(body) ? [body] : body
    const length =
      body === undefined || Buffer.isBuffer(body) ? { 'content-length': String(body?.byteLength ?? 0) } : {}
    const isWithoutBody = body === undefined && (method === 'GET' || method === 'HEAD' || method === 'DELETE')
    const outgoing = httpRequest(
      url,
      { method, agent, timeout: timeoutMs, headers: { ...(isWithoutBody ? {} : length), ...headers } },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          resolve({
            status: incoming.statusCode ?? 0,
            url,
            headers: incoming.headers,
            fields: incoming.headersDistinct,
            body: Buffer.concat(chunks),
          })
        })
      },
    )
    outgoing.on('timeout', () =>
      outgoing.destroy(new Error(`${method} ${url.href}: no answer in ${timeoutMs} ms`)),
    )
    outgoing.on('error', reject)
    for (const piece of pieces) outgoing.write(piece)
    outgoing.end()
  })
}
