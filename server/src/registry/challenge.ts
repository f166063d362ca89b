import { OciError } from '@berth/oci/errors'

export type ChallengeError = 'insufficient_scope' | 'invalid_token'

/** 401 with a challenge. The renderer adds WWW-Authenticate, which depends on how the request came. */
export class AuthenticationRequired extends OciError {
  /** In the grammar of the `scope` parameter; null when the request is about no resource. */
  readonly scope: string | null
  readonly error: ChallengeError | null

  constructor(scope: string | null, error: ChallengeError | null, message?: string) {
    super('UNAUTHORIZED', message)
    this.scope = scope
    this.error = error
  }
}

/**
 * WWW-Authenticate of a 401 answer: Bearer alone. Basic is taken too, but a challenge that offers both makes docker
 * answer both, and fail when it holds an identity token and no password (docs/adr/0006). The realm is on the registry's
 * own origin, which is what careful clients insist on.
 */
export function challengeHeader(
  origin: string,
  service: string,
  { scope, error, message }: Pick<AuthenticationRequired, 'scope' | 'error' | 'message'>,
): string {
  const parameters = [`realm="${origin}/auth/token"`, `service="${service}"`]
  if (scope !== null) parameters.push(`scope="${scope}"`)
  if (error !== null) {
    // With an error here, docker shows this description and not the body's message.
    parameters.push(`error="${error}"`, `error_description="${message.replaceAll(/["\\]/g, "'")}"`)
  }
  return `Bearer ${parameters.join(',')}`
}
