import { randomBytes } from 'node:crypto'
import { Connection, type Answer } from './connection.ts'

/** One step of a synthetic push, and what came of it. */
export interface PushStep {
  readonly name: string
  readonly ok: boolean
  readonly message: string
  /** What to change; null when all is well. */
  readonly nextStep: string | null
}

export interface PushCheckOptions {
  /** `https://registry.example`: where clients push to. */
  readonly origin: string
  /** `<namespace>/<path>`; nothing of it stays. */
  readonly repository: string
  readonly username: string
  readonly password: string
  /** Size of the streamed chunk. */
  readonly streamBytes: number
  /** How long the slow chunk takes. */
  readonly slowMs: number
  readonly onStep: (step: PushStep) => void
  /** Before the step that takes long; its result comes to `onStep`. */
  readonly onSlowStep: (name: string) => void
}

const CHUNK_BYTES = 1024 * 1024
/** A piece of the slow chunk, and the pause after it: fast enough for the registry, slow enough for a proxy's limit. */
const TRICKLE_BYTES = 64 * 1024
const TRICKLE_PAUSE_MS = 2_000

/**
 * Pushes what no image needs, chunk by chunk as docker does, and takes it back: finds what stands between a client and
 * the registry and limits bodies, cuts slow uploads or changes headers. Ends at the first step that fails. Answers the
 * steps; throws nothing that a registry or proxy can cause.
 */
export async function checkPush(options: PushCheckOptions): Promise<readonly PushStep[]> {
  const steps: PushStep[] = []
  const say = (name: string, problem: Problem | null, message: string): boolean => {
    const step = {
      name,
      ok: problem === null,
      message: problem?.message ?? message,
      nextStep: problem?.nextStep ?? null,
    }
    steps.push(step)
    options.onStep(step)
    return step.ok
  }
  const registry = new Connection(options.origin)
  try {
    await walk(registry, options, say)
  } catch (error) {
    const message = error instanceof Error ? error.message : 'it failed'
    say('connection', { message, nextStep: 'Check the host, its port and its certificate.' }, '')
  }
  return steps
}

interface Problem {
  readonly message: string
  readonly nextStep: string
}

type Say = (name: string, problem: Problem | null, message: string) => boolean

async function walk(registry: Connection, options: PushCheckOptions, say: Say): Promise<void> {
  const ping = await registry.send('GET', '/v2/')
  if (
    !say(
      'ping',
      pingProblem(ping, options.origin),
      'A registry answers, and names the right place for tokens.',
    )
  )
    return
  const authorization = `Basic ${Buffer.from(`${options.username}:${options.password}`).toString('base64')}`
  const begun = await registry.send('POST', `/v2/${options.repository}/blobs/uploads/`, { authorization })
  if (!say('start of an upload', startProblem(begun, options.origin), 'It may push there.')) return
  let location = pathOf(begun, options.origin)
  try {
    const sized = await registry.send('PATCH', location, { authorization, body: [randomBytes(CHUNK_BYTES)] })
    if (!say('chunk of 1 MiB', chunkProblem(sized, CHUNK_BYTES), 'Arrived whole.')) return
    location = pathOf(sized, options.origin)
    const streamed = await registry.send('PATCH', location, {
      authorization,
      body: blocks(options.streamBytes),
      isChunked: true,
    })
    const streamName = `streamed chunk of ${Math.round(options.streamBytes / CHUNK_BYTES)} MiB`
    const soFar = CHUNK_BYTES + options.streamBytes
    if (!say(streamName, chunkProblem(streamed, soFar), 'Arrived whole.')) return
    location = pathOf(streamed, options.origin)
    if (options.slowMs === 0) return
    const seconds = Math.round(options.slowMs / 1000)
    const slowName = `chunk that takes ${seconds} s`
    options.onSlowStep(slowName)
    const slow = await registry.send('PATCH', location, {
      authorization,
      body: trickle(options.slowMs),
      isChunked: true,
    })
    say(slowName, slowProblem(slow, seconds), 'Nothing cut it.')
  } finally {
    await registry.send('DELETE', location, { authorization })
  }
}

function* blocks(sizeBytes: number): Generator<Uint8Array> {
  const block = randomBytes(CHUNK_BYTES)
  for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES)
    yield block.subarray(0, Math.min(left, CHUNK_BYTES))
}

async function* trickle(durationMs: number): AsyncGenerator<Uint8Array> {
  const piece = randomBytes(TRICKLE_BYTES)
  for (let leftMs = durationMs; leftMs > 0; leftMs -= TRICKLE_PAUSE_MS) {
    yield piece
    await new Promise((resolve) => setTimeout(resolve, Math.min(leftMs, TRICKLE_PAUSE_MS)))
  }
}

const FORWARDED_HEADERS =
  'The proxy in front must pass Host and X-Forwarded-Proto as the client sent them, and its address must be in BERTH_TRUSTED_PROXIES (see docs/operations/production.md).'

function pingProblem({ status, headers }: Answer, origin: string): Problem | null {
  if (status !== 401 || headers['docker-distribution-api-version'] === undefined) {
    const message = `${origin}/v2/ answers ${status}, which no registry does without a credential.`
    return { message, nextStep: 'Check the host, and that the proxy in front passes /v2/ on.' }
  }
  const realm = /realm="([^"]*)"/.exec(String(headers['www-authenticate'] ?? ''))?.[1] ?? ''
  if (realm.startsWith(`${origin}/`)) return null
  return { message: `Clients are sent to ${realm || 'nowhere'} for tokens.`, nextStep: FORWARDED_HEADERS }
}

function startProblem(answer: Answer, origin: string): Problem | null {
  const { status, headers } = answer
  if (status === 401) {
    return {
      message: `The credential is refused${said(answer)}.`,
      nextStep: 'Use the user name api and an API key as the password.',
    }
  }
  if (status === 403 || status === 404) {
    return {
      message: `It may not push there${said(answer)}.`,
      nextStep: 'Name a repository below the namespace of the key, and a key that may push.',
    }
  }
  if (status !== 202) return unexpected(answer)
  const location = new URL(String(headers.location ?? ''), origin)
  if (headers.location !== undefined && location.origin === origin) return null
  return { message: `Uploads are sent on to ${String(headers.location)}.`, nextStep: FORWARDED_HEADERS }
}

function chunkProblem(answer: Answer, receivedBytes: number): Problem | null {
  if (answer.status === 413) {
    const nextStep = 'Take the limit of bodies away in the proxy in front (nginx: client_max_body_size 0).'
    return { message: `Something in front refuses bodies of this size${said(answer)}.`, nextStep }
  }
  if (answer.status === 411 || answer.status === 501) {
    const nextStep =
      'The proxy in front must pass chunked bodies on (nginx: proxy_http_version 1.1, proxy_request_buffering off).'
    return { message: 'Something in front takes no chunked bodies.', nextStep }
  }
  if (answer.status !== 202) return unexpected(answer)
  const expected = `0-${receivedBytes - 1}`
  if (answer.headers['range'] === expected) return null
  const message = `Of ${receivedBytes} bytes the registry says it has ${String(answer.headers['range'])}.`
  return { message, nextStep: 'Something in front changes bodies or the Range header of answers.' }
}

function slowProblem(answer: Answer, seconds: number): Problem | null {
  if (answer.status === 202) return null
  const nextStep =
    'Raise the time-outs of the proxy or load balancer in front (nginx: client_body_timeout, proxy_read_timeout, proxy_send_timeout), and let it stream requests.'
  return { message: `An upload of ${seconds} s is cut${said(answer)}.`, nextStep }
}

function unexpected(answer: Answer): Problem {
  const nextStep =
    answer.status === 0
      ? 'Look at the log of the proxy in front: it closed the connection.'
      : 'Look at the log of the server, and of the proxy in front.'
  return {
    message: `The answer is ${answer.status === 0 ? 'a closed connection' : answer.status}${said(answer)}.`,
    nextStep,
  }
}

/** The registry's own words, or a proxy's first line. */
function said({ text }: Answer): string {
  try {
    const [first] = (JSON.parse(text) as { errors: { message: string }[] }).errors
    return first === undefined ? '' : `: ${first.message}`
  } catch {
    const line = text
      .replaceAll(/<[^>]*>/g, ' ')
      .replaceAll(/\s+/g, ' ')
      .trim()
      .slice(0, 120)
    return line === '' ? '' : ` (${line})`
  }
}

function pathOf({ headers }: Answer, origin: string): string {
  const { pathname, search } = new URL(String(headers.location ?? ''), origin)
  return pathname + search
}
