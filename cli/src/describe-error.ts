import { CliError } from './cli-error.ts'
import { EXIT_CODES, type ExitName } from './exit-code.ts'

/** An error as it is shown: a sentence, the reasons, the next step, and the id that finds it in the server's log. */
export interface DescribedError {
  readonly exit: ExitName
  readonly message: string
  readonly details: readonly string[]
  readonly hint: string | null
  /** The console's code; null for an error of the command line itself. */
  readonly code: string | null
  readonly requestId: string | null
}

// The client's classes are told apart by name, so that a wrong command line need not load them.
interface ApiErrorLike extends Error {
  readonly code: string
  readonly status: number
  readonly errors: readonly { readonly path: string; readonly message: string }[]
  readonly requestId: string | null
  readonly headers: Readonly<Record<string, string>>
}

/** What a failure means for the person at the terminal. */
export function describeError(error: unknown): DescribedError {
  if (error instanceof CliError) {
    return {
      exit: error.exit,
      message: error.message,
      details: [],
      hint: error.hint,
      code: null,
      requestId: null,
    }
  }
  if (error instanceof Error && error.name === 'ApiError') return describeApiError(error as ApiErrorLike)
  if (error instanceof Error && error.name === 'ConsoleUnreachableError') {
    return {
      exit: 'failure',
      message: error.message,
      details: [],
      hint: 'Check the address (berth contexts list, BERTH_CONSOLE_URL) and that the server runs (berth serve).',
      code: null,
      requestId: null,
    }
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { exit: 'failure', message, details: [], hint: null, code: null, requestId: null }
}

function describeApiError(error: ApiErrorLike): DescribedError {
  const details = error.errors.map(
    ({ path, message }) => `${path.replace(/^(body|query|params)\./, '')} ${message}`,
  )
  return {
    exit: exitOf(error.status),
    // With field errors the detail only repeats the first of them.
    message: details.length > 0 ? 'The console refused the request:' : error.message,
    details,
    hint: hintOf(error),
    code: error.code,
    requestId: error.requestId,
  }
}

function exitOf(status: number): ExitName {
  if (status === 401 || status === 403) return 'denied'
  return status === 404 ? 'notFound' : 'failure'
}

const HINTS: Readonly<Record<string, string>> = {
  unauthenticated: 'Log in with: berth login',
  project_not_found: 'See which there are: berth projects list',
  member_not_found: 'See who is a member: berth members list',
  person_not_found: 'See who there is: berth people list',
  last_operator: 'Make somebody else an operator: berth people set <person> --operator',
  passkey_not_found: 'See which there are: berth passkeys list',
  invitation_not_found: 'See which are open: berth invitations list',
  last_owner: 'Make somebody else an owner: berth members set-role <person> owner',
  already_member: 'Change the role: berth members set-role <person> <role>',
  namespace_taken: 'See whether another one is free: berth projects check-namespace <namespace>',
  step_up_required: 'Or log in again, which confirms it too: berth login',
  session_not_found: 'See which there are: berth sessions list',
  personal_token_not_found: 'See which there are: berth tokens list --all-states',
  api_key_not_found: 'See which there are: berth keys list --all-states',
  region_not_found: 'See which there are: berth regions list',
  repository_not_found: 'See which there are: berth repos list',
  tag_not_found: 'See which there are: berth tags list <repository>',
  region_ambiguous: 'Choose one with --region <region>',
  manifest_not_found: 'See which there are: berth manifests list <repository>',
  webhook_not_found: 'See which there are: berth webhooks list',
  delivery_not_found: 'See which there are: berth webhooks deliveries <webhook>',
  gc_running: 'Look at it: berth gc status',
  internal_error: 'The server has the reason in its log, under the request id.',
}

function hintOf(error: ApiErrorLike): string | null {
  const seconds = error.headers['retry-after']
  if (error.status === 429 && seconds !== undefined) return `Try again in ${seconds} s.`
  return HINTS[error.code] ?? null
}

/** The lines for the terminal. */
export function errorLines(error: DescribedError): string[] {
  return [
    `error: ${error.message}`,
    ...error.details.map((detail) => `  - ${detail}`),
    ...(error.hint === null ? [] : [error.hint]),
    ...(error.requestId === null ? [] : [`request id: ${error.requestId}`]),
  ]
}

/** The same for `--json`. */
export function errorJson(error: DescribedError): string {
  const { exit, message, details, hint, code, requestId } = error
  return JSON.stringify({
    error: { code, message, details, hint, requestId, exitCode: EXIT_CODES[exit].code },
  })
}
