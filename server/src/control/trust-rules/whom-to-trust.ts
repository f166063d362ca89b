import { ApiError } from '@berth/api/errors'
import { CI_PROVIDERS, type CiProvider, TOKEN_CLAIMS } from '../../access/ci-provider.ts'

/** Issuers that have a provider of their own, with the rules that keep others' jobs out. */
const GITHUB_ISSUER = 'https://token.actions.githubusercontent.com'
const GITLAB_ISSUER = 'https://gitlab.com'
const CIRCLECI_ORIGIN = 'https://oidc.circleci.com'
// GitHub Enterprise Server serves its issuer there.
const GITHUB_SERVER_PATH = '/_services/token'
const CIRCLECI_PATH = /^\/org\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const NUMBER_CLAIMS: readonly string[] = [
  'repository_id',
  'repository_owner_id',
  'actor_id',
  'project_id',
  'namespace_id',
  'user_id',
]
const UUID_CLAIMS: readonly string[] = ['oidc.circleci.com/project-id', 'oidc.circleci.com/context-ids']
const NUMBER = /^[1-9]\d{0,18}$/
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const FULL_REF_CLAIMS: Readonly<Partial<Record<CiProvider, string>>> = {
  github_actions: 'ref',
  circleci: 'oidc.circleci.com/vcs-ref',
}

export interface WhomToTrust {
  readonly issuer: string
  readonly conditions: Readonly<Record<string, string>>
}

/**
 * Checks whom a rule wants to trust: that the issuer is one of the provider's, that the conditions hold on to an id that
 * nobody else can come to have, and that a wildcard lets in no more than it seems to. Conditions come back in the order
 * of their names. Raises `validation_failed` naming each mistake.
 */
export function checkWhomToTrust(
  provider: CiProvider,
  issuer: string | undefined,
  conditions: Readonly<Record<string, string>>,
): WhomToTrust {
  const errors: { path: string; message: string }[] = []
  const chosen = issuer ?? defaultIssuer(provider)
  const issuerMistake = chosen === null ? 'is needed for this provider' : mistakeOfIssuer(provider, chosen)
  if (issuerMistake !== null) errors.push({ path: 'body.issuer', message: issuerMistake })
  for (const [claim, value] of Object.entries(conditions)) {
    const message = mistakeOfCondition(provider, claim, value)
    if (message !== null) errors.push({ path: `body.conditions.${claim}`, message })
  }
  const missing = mistakeOfAll(provider, conditions)
  if (missing !== null) errors.push({ path: 'body.conditions', message: missing })
  if (errors.length > 0 || chosen === null) throw new ApiError('validation_failed', undefined, { errors })
  const sorted = Object.entries(conditions).sort(([a], [b]) => (a < b ? -1 : 1))
  return { issuer: chosen, conditions: Object.fromEntries(sorted) }
}

function defaultIssuer(provider: CiProvider): string | null {
  if (provider === 'github_actions') return GITHUB_ISSUER
  return provider === 'gitlab_ci' ? GITLAB_ISSUER : null
}

function mistakeOfIssuer(provider: CiProvider, issuer: string): string | null {
  const url = URL.canParse(issuer) ? new URL(issuer) : null
  const isPlain =
    url !== null &&
    url.protocol === 'https:' &&
    url.username === '' &&
    url.password === '' &&
    !/[?#\s\\]/.test(issuer) &&
    // `iss` is compared as text, so there is one spelling: what a URL library would write.
    (url.href === issuer || url.href === `${issuer}/`)
  if (!isPlain) return 'must be an https address without query, as the tokens spell it in iss'
  switch (provider) {
    case 'github_actions':
      return issuer === GITHUB_ISSUER ||
        issuer.startsWith(`${GITHUB_ISSUER}/`) ||
        url.pathname === GITHUB_SERVER_PATH
        ? null
        : `must be ${GITHUB_ISSUER}, or https://<your server>${GITHUB_SERVER_PATH}`
    case 'gitlab_ci':
      return null
    case 'circleci':
      return CIRCLECI_PATH.test(url.pathname) ? null : `must be ${CIRCLECI_ORIGIN}/org/<organization id>`
    case 'custom':
      return mistakeOfCustomIssuer(url)
  }
}

/** A custom rule on a service that everybody uses could trust everybody. */
function mistakeOfCustomIssuer(url: URL): string | null {
  if (url.origin === GITHUB_ISSUER) return 'is GitHub: use the provider github_actions'
  if (url.origin === GITLAB_ISSUER) return 'is GitLab: use the provider gitlab_ci'
  return url.origin === CIRCLECI_ORIGIN ? 'is CircleCI: use the provider circleci' : null
}

function mistakeOfCondition(provider: CiProvider, claim: string, value: string): string | null {
  const { claims, globClaims } = CI_PROVIDERS[provider]
  if (TOKEN_CLAIMS.includes(claim)) return 'is about the token, not about the job'
  if (claims !== null && !claims.includes(claim)) {
    return `is not a claim that can be trusted; choose from ${claims.join(', ')}`
  }
  if (claims !== null && NUMBER_CLAIMS.includes(claim) && !NUMBER.test(value)) return 'must be the numeric id'
  if (claims !== null && UUID_CLAIMS.includes(claim) && !UUID.test(value))
    return 'must be a UUID in lower case'
  if (value.includes('*') && !globClaims.includes(claim)) return 'must be the exact value: no wildcard here'
  if (value.includes('*') && (value.split(/\*+/).length > 2 || value.includes('***'))) {
    return 'may hold one wildcard: * for anything without a slash, ** for anything'
  }
  if (/^\*+$/.test(value)) return 'would let in anything: leave it out instead'
  if (claim === FULL_REF_CLAIMS[provider] && !/^refs\/(?:heads|tags|pull)\/./.test(value)) {
    return 'must be a full ref such as refs/heads/main or refs/tags/v*'
  }
  return null
}

function mistakeOfAll(provider: CiProvider, conditions: Readonly<Record<string, string>>): string | null {
  const names = Object.keys(conditions)
  const missing = CI_PROVIDERS[provider].idClaims.find((claim) => !names.includes(claim))
  if (missing !== undefined) {
    return `must name ${missing}: names of repositories and "sub" can come to mean somebody else`
  }
  if (
    provider === 'gitlab_ci' &&
    names.includes('ref') &&
    !['branch', 'tag'].includes(conditions['ref_type'] ?? '')
  ) {
    return 'must name ref_type (branch or tag) with ref: a tag can have the name of a branch'
  }
  if (provider === 'custom' && names.every((claim) => claim === 'sub')) {
    return 'must name a claim besides "sub", whose form issuers change'
  }
  return null
}
