import type { FieldError } from './problem.ts'

/** One row of the error table. */
export interface ApiErrorRow {
  readonly status: number
  /** Short, the same for every occurrence. */
  readonly title: string
  /** For the documentation: when it is raised, and what to do. */
  readonly description: string
}

/** Every error that the console answers. Codes are stable: clients may decide on them. */
export const API_ERRORS = {
  invalid_json: {
    status: 400,
    title: 'The body is not valid JSON',
    description: 'Send one JSON object in UTF-8 with `Content-Type: application/json`.',
  },
  invalid_request: {
    status: 400,
    title: 'The request is not valid HTTP',
    description: 'The path, a header or the framing of the request is malformed.',
  },
  unauthenticated: {
    status: 401,
    title: 'Authentication is needed',
    description:
      'Send `Authorization: Bearer <token>`. The token is missing, malformed or not valid (any more). `berth login` stores one for the command line.',
  },
  forbidden: {
    status: 403,
    title: 'This is not allowed',
    description: 'The credential is valid but may not do this. Ask an operator or an owner of the project.',
  },
  invitation_for_another: {
    status: 403,
    title: 'The invitation is for somebody else',
    description: 'Sign in with the address that was invited, or ask for an invitation of your own.',
  },
  step_up_required: {
    status: 403,
    title: 'Confirm that it is you first',
    description:
      'The operation is sensitive, and the session was not confirmed lately. Open `/confirm` of the console (for `berth`: log in again), confirm with password, passkey or single sign-on, and repeat the call.',
  },
  route_not_found: {
    status: 404,
    title: 'There is no such path',
    description: 'The console has no such path. `openapi.json` lists all of them.',
  },
  project_not_found: {
    status: 404,
    title: 'There is no such project',
    description: 'No project has this id or namespace, or the caller may not know of it.',
  },
  member_not_found: {
    status: 404,
    title: 'There is no such member',
    description: 'The project has no member with this id.',
  },
  person_not_found: {
    status: 404,
    title: 'There is no such person',
    description: 'Nobody has an account with this id. `berth people list` shows all.',
  },
  invitation_not_found: {
    status: 404,
    title: 'There is no such invitation',
    description:
      'There is no invitation with this id or secret, or it was accepted, was revoked or has expired. Ask for a new one.',
  },
  api_key_not_found: {
    status: 404,
    title: 'There is no such API key',
    description: 'The project has no API key with this id.',
  },
  trust_rule_not_found: {
    status: 404,
    title: 'There is no such trust rule',
    description: 'The project has no trust rule with this id. `berth ci rules list` shows them.',
  },
  session_not_found: {
    status: 404,
    title: 'There is no such session',
    description: 'You have no session with this id, or it has ended. `berth sessions list` shows them.',
  },
  personal_token_not_found: {
    status: 404,
    title: 'There is no such personal access token',
    description: 'You have no personal access token with this id. `berth tokens list` shows them.',
  },
  passkey_not_found: {
    status: 404,
    title: 'There is no such passkey',
    description: 'You have no passkey with this id.',
  },
  region_not_found: {
    status: 404,
    title: 'There is no such region',
    description: 'The installation has no region with this slug. `berth regions list` shows them.',
  },
  registry_not_found: {
    status: 404,
    title: 'There is no such registry',
    description: 'The project has no registry with this id. `berth registries list` shows them.',
  },
  credentials_not_found: {
    status: 404,
    title: 'There are no credentials',
    description: 'The registry has no credentials, or they were revoked. Generate them.',
  },
  repository_not_found: {
    status: 404,
    title: 'There is no such repository',
    description:
      'The project has no such repository in the regions asked. A repository is created by its first push.',
  },
  tag_not_found: {
    status: 404,
    title: 'There is no such tag',
    description: 'The repository has no such tag. `berth tags history` shows whether it ever had it.',
  },
  manifest_not_found: {
    status: 404,
    title: 'There is no such manifest',
    description: 'The repository has no manifest with this digest or tag, or its time in the trash is over.',
  },
  webhook_not_found: {
    status: 404,
    title: 'There is no such webhook',
    description: 'The project has no webhook with this id.',
  },
  delivery_not_found: {
    status: 404,
    title: 'There is no such delivery',
    description: 'The webhook has no delivery with this id, or it is no longer kept.',
  },
  refusal_not_found: {
    status: 404,
    title: 'There is no such refusal',
    description:
      'No refusal with this request id is known, or not to the caller. Refusals are kept for some days, and only the latest of each project.',
  },
  method_not_allowed: {
    status: 405,
    title: 'The path does not take this method',
    description: 'The `Allow` header lists the methods of the path.',
  },
  request_timeout: {
    status: 408,
    title: 'The request took too long to arrive',
    description: 'Send headers and body without long pauses.',
  },
  namespace_taken: {
    status: 409,
    title: 'The namespace is taken',
    description:
      'Another project has this namespace, or a deleted project had it. A namespace is reserved for a while after its project was deleted, and for ever when anybody could pull from it.',
  },
  confirmation_required: {
    status: 409,
    title: 'The deletion must be confirmed',
    description: "Repeat the request with `?confirm=<namespace>`, the project's namespace.",
  },
  last_owner: {
    status: 409,
    title: 'The project would be left without an owner',
    description: 'Make somebody else an owner first, or delete the project.',
  },
  last_operator: {
    status: 409,
    title: 'The installation would be left without an operator',
    description: 'Make somebody else an operator first, whose account is not disabled.',
  },
  person_disabled: {
    status: 409,
    title: 'The account is disabled',
    description: 'Enable it first: `berth people set <person> --enable`.',
  },
  already_member: {
    status: 409,
    title: 'The person is a member already',
    description: 'Change their role instead.',
  },
  too_many_invitations: {
    status: 409,
    title: 'Too many invitations are open',
    description: 'Revoke some, or wait until they are accepted or expire.',
  },
  region_ambiguous: {
    status: 409,
    title: 'The repository exists in several regions',
    description: 'Say which one with `?region=<slug>`.',
  },
  api_key_of_registry: {
    status: 409,
    title: 'The API key belongs to a registry',
    description:
      'It is the credential of a managed registry, which shows it again when asked. Rotate it there: `berth registries credentials rotate`.',
  },
  credentials_exist: {
    status: 409,
    title: 'There are credentials already',
    description: 'Show them again, rotate them, or revoke them and generate new ones.',
  },
  registry_kind: {
    status: 409,
    title: 'The registry is not of this kind',
    description:
      'Managed registries have credentials to generate and rotate; third-party registries have a host and a login to change, test and delete.',
  },
  slug_taken: {
    status: 409,
    title: 'The slug is taken',
    description:
      'Another registry of the project has this slug, or there are repositories in the project that begin with it.',
  },
  too_many_registries: {
    status: 409,
    title: 'The project has too many registries',
    description: 'A project may connect 100 third-party registries. Delete one that is not used.',
  },
  secret_unreadable: {
    status: 409,
    title: 'The stored secret cannot be read',
    description:
      'What is stored does not fit its key or its host: the database was changed by hand, or restored together with another root key. Store the login again, or revoke and generate the credentials.',
  },
  root_key_missing: {
    status: 409,
    title: 'A root key is missing',
    description:
      'Project keys are wrapped by a root key that this process was not given. Start every process with the new root key, and with the one before as `BERTH_ROOT_KEY_PREVIOUS_FILE`.',
  },
  api_key_inactive: {
    status: 409,
    title: 'The API key is not active',
    description: 'The key is revoked or expired, so it cannot be rotated. Create a new one.',
  },
  trust_rule_changed: {
    status: 409,
    title: 'Somebody else has changed the trust rule',
    description:
      'The rule was changed at the same time. Look at it again, and repeat the change if it still fits.',
  },
  trust_rule_limit_reached: {
    status: 409,
    title: 'The project has too many trust rules',
    description: 'A project may have 100 trust rules. Remove one that is not used any more.',
  },
  too_many_tokens: {
    status: 409,
    title: 'You have too many personal access tokens',
    description: 'A person has 100 active ones at most. Revoke those that nobody uses: `berth tokens list`.',
  },
  too_many_passkeys: {
    status: 409,
    title: 'You have too many passkeys',
    description: 'A person has 20 at most. Delete those that you no longer use.',
  },
  manifest_in_use: {
    status: 409,
    title: 'Another manifest needs this one',
    description: 'An image index here refers to the manifest. Delete the index first.',
  },
  image_in_use: {
    status: 409,
    title: 'The image is in use',
    description: 'Something that runs, or may be rolled back to, needs the image. The detail names it.',
  },
  tag_immutable: {
    status: 409,
    title: 'The tag is immutable',
    description:
      'A rule of the project says that the tag is never moved or deleted. Push another tag, or have an admin change the rule (`berth policies immutable`).',
  },
  manifest_incomplete: {
    status: 409,
    title: 'Content of the manifest is gone',
    description:
      'Something that the manifest refers to was deleted too. Restore that first, or push the image again.',
  },
  not_in_trash: {
    status: 409,
    title: 'There is nothing to restore',
    description: 'The tag or manifest is not deleted, or the version to restore is a deletion itself.',
  },
  quota_exceeded: {
    status: 409,
    title: "The project's quota is full",
    description:
      'What is to be restored does not fit into the quota of the project. Raise it or delete something.',
  },
  trash_full: {
    status: 409,
    title: "The project's trash is full",
    description:
      'Together with its trash a project may take twice its quota. The oldest of the trash is removed by and by; `berth gc purge` empties it now.',
  },
  retention_running: {
    status: 409,
    title: 'Retention is running',
    description: 'The rules of the project are being applied in the region already.',
  },
  webhook_limit: {
    status: 409,
    title: 'The project has too many webhooks',
    description: 'A project may have 20 webhooks. Remove one that is not needed.',
  },
  gc_running: {
    status: 409,
    title: 'Garbage collection is running',
    description: 'A cycle is running in the region already. `berth gc status` shows it.',
  },
  body_too_large: {
    status: 413,
    title: 'The body is too large',
    description: 'A body may have 1 MiB at most.',
  },
  uri_too_long: {
    status: 414,
    title: 'The path is too long',
    description: 'No path of the console is that long.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'The body is not JSON',
    description: 'Send `Content-Type: application/json`, without a content encoding.',
  },
  validation_failed: {
    status: 422,
    title: 'The request is not valid',
    description: '`errors` lists each field that is wrong, and why.',
  },
  rate_limited: {
    status: 429,
    title: 'Too many failed attempts',
    description: '`Retry-After` says after how many seconds to try again.',
  },
  headers_too_large: {
    status: 431,
    title: 'The headers are too large',
    description: 'All headers together may have 16 KiB at most.',
  },
  internal_error: {
    status: 500,
    title: 'The console failed',
    description: "The request id finds the cause in the server's log.",
  },
  registry_failed: {
    status: 502,
    title: 'The third-party registry could not be asked',
    description:
      'It cannot be reached, refused the stored login, or answered with an error. The detail says which and what to do; `berth registries test` tells more.',
  },
  not_everywhere_yet: {
    status: 503,
    title: 'The change is made, but not in force everywhere yet',
    description:
      'The change is committed. The regions named could not be reached, and may go by the old rules until they can be. Repeat the call: it is safe, and succeeds when the change is in force everywhere.',
  },
  unavailable: {
    status: 503,
    title: 'The console cannot do this now',
    description:
      'A database or region cannot be reached, is full, or the process stops. Nothing was acknowledged. `Retry-After` says when to try again.',
  },
} as const satisfies Record<string, ApiErrorRow>

/** A code of the error table. */
export type ApiErrorCode = keyof typeof API_ERRORS

export interface ApiErrorOptions {
  /** Which fields are wrong. */
  readonly errors?: readonly FieldError[]
  /** Response headers, such as Retry-After or Allow. */
  readonly headers?: Readonly<Record<string, string>>
  /** Of an answer that a client received. */
  readonly requestId?: string
  /** For the log, never sent. */
  readonly cause?: unknown
}

/** An answer of the console that is an error; thrown by handlers, and by the client for what it received. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: ApiErrorCode
  readonly status: number
  /** What is special about this occurrence; sent to the client. */
  readonly detail: string
  readonly errors: readonly FieldError[]
  readonly headers: Readonly<Record<string, string>>
  readonly requestId: string | null

  constructor(
    code: ApiErrorCode,
    detail: string = API_ERRORS[code].description,
    options: ApiErrorOptions = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = API_ERRORS[code].status
    this.detail = detail
    this.errors = options.errors ?? []
    this.headers = options.headers ?? {}
    this.requestId = options.requestId ?? null
  }
}
