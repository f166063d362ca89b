import { CliError } from './cli-error.ts'
import { type Io, note } from './io.ts'

const CLIENT_ID = 'berth'
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:device_code'
const REQUEST_TIMEOUT_MS = 30_000
/** What `slow_down` adds to the pause between polls (RFC 8628 section 3.5). */
const SLOW_DOWN_MS = 5_000
/** Polls in a row that may find no console. */
const MAX_SILENT_POLLS = 10
const CODE_PATTERN = /^[A-Z0-9]{4,64}$/i

interface DeviceCodes {
  readonly deviceCode: string
  readonly userCode: string
  readonly url: string
  readonly urlWithCode: string
  readonly expiresInSeconds: number
  readonly intervalSeconds: number
}

/**
 * Logs in by the device flow (RFC 8628): shows a code and an address, and waits until somebody has approved it in a
 * browser. Opens nothing by itself. Answers the session's token. Raises `CliError` when it is denied or expires.
 */
export async function logInWithDevice(io: Io, baseUrl: string, userAgent: string): Promise<string> {
  const codes = await requestCodes(baseUrl, userAgent)
  const shown = `${codes.userCode.slice(0, 4)}-${codes.userCode.slice(4)}`
  note(io, `Open ${codes.urlWithCode}`)
  note(io, `and approve it if it shows the code ${shown}.`)
  note(
    io,
    `(Or open ${codes.url} and type the code. It is valid for ${Math.ceil(codes.expiresInSeconds / 60)} minutes.)`,
  )
  const pause = io.pause ?? ((ms: number) => new Promise((resolve) => setTimeout(resolve, ms)))
  const deadline = io.nowMs() + codes.expiresInSeconds * 1000
  let intervalMs = codes.intervalSeconds * 1000
  for (let silent = 0; silent < MAX_SILENT_POLLS && io.nowMs() < deadline; ) {
    await pause(intervalMs)
    const answer = await poll(baseUrl, codes.deviceCode, userAgent)
    if (answer === null) {
      silent += 1
      continue
    }
    silent = 0
    if ('token' in answer) return answer.token
    if (answer.error === 'slow_down') intervalMs += SLOW_DOWN_MS
    else if (answer.error !== 'authorization_pending') throw refused(answer.error)
  }
  if (io.nowMs() < deadline) throw new CliError('failure', `${baseUrl} does not answer any more.`)
  throw refused('expired_token')
}

async function requestCodes(baseUrl: string, userAgent: string): Promise<DeviceCodes> {
  const answer = await post(baseUrl, '/api/auth/device/code', { client_id: CLIENT_ID }, userAgent)
  if (answer === null) {
    throw new CliError(
      'failure',
      `No answer from ${baseUrl}.`,
      'Check the address (BERTH_CONSOLE_URL) and that the server runs (berth serve).',
    )
  }
  const { status, body } = answer
  const { device_code: deviceCode, user_code: userCode, verification_uri: url } = body
  if (
    status !== 200 ||
    typeof deviceCode !== 'string' ||
    typeof userCode !== 'string' ||
    !CODE_PATTERN.test(userCode) ||
    !isWebAddress(url)
  ) {
    const detail = typeof body['detail'] === 'string' ? ` ${body['detail']}` : ''
    throw new CliError('failure', `${baseUrl} did not start a login (${status}).${detail}`)
  }
  const complete = body['verification_uri_complete']
  return {
    deviceCode,
    userCode,
    url,
    urlWithCode: isWebAddress(complete) ? complete : url,
    expiresInSeconds: positive(body['expires_in'], 600),
    intervalSeconds: positive(body['interval'], 5),
  }
}

function isWebAddress(value: unknown): value is string {
  return typeof value === 'string' && /^https?:\/\/[\x21-\x7e]+$/.test(value)
}

function positive(value: unknown, fallback: number): number {
  return typeof value === 'number' && value > 0 && value < 86_400 ? value : fallback
}

type PollAnswer = { readonly token: string } | { readonly error: string }

/** Null: no answer, which a later poll may get. */
async function poll(baseUrl: string, deviceCode: string, userAgent: string): Promise<PollAnswer | null> {
  const fields = { grant_type: GRANT_TYPE, device_code: deviceCode, client_id: CLIENT_ID }
  const answer = await post(baseUrl, '/api/auth/device/token', fields, userAgent)
  if (answer === null || answer.status >= 500) return null
  const { access_token: token, error } = answer.body
  if (answer.status === 200 && typeof token === 'string') return { token }
  // The console's own limit of requests means the same.
  if (answer.status === 429) return { error: 'slow_down' }
  return { error: typeof error === 'string' ? error : 'unknown' }
}

async function post(
  baseUrl: string,
  path: string,
  fields: Readonly<Record<string, string>>,
  userAgent: string,
): Promise<{ status: number; body: Readonly<Record<string, unknown>> } | null> {
  try {
    const response = await fetch(baseUrl.replace(/\/+$/, '') + path, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'user-agent': userAgent },
      body: new URLSearchParams(fields).toString(),
      redirect: 'error',
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    })
    const body: unknown = await response.json().catch(() => ({}))
    return { status: response.status, body: (body ?? {}) as Record<string, unknown> }
  } catch {
    return null
  }
}

function refused(error: string): CliError {
  switch (error) {
    case 'access_denied':
      return new CliError('denied', 'The login was denied in the browser.')
    case 'expired_token':
    case 'invalid_grant':
      return new CliError('failure', 'The code has expired.', 'Try again: berth login')
    default:
      return new CliError('failure', `The login did not work (${error}).`, 'Try again: berth login')
  }
}
