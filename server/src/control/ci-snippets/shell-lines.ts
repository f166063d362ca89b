import type { CiSnippetQuery } from '@berth/api/trust-rules'

/** What a snippet is about. */
export interface SnippetPlace {
  /** Host of the region, as image references begin. */
  readonly host: string
  /** Where the token endpoint is, such as `https://registry.example`. */
  readonly origin: string
  readonly namespace: string
  /** Full name of the repository. */
  readonly image: string
  /** What the CI job asks its token to be made for. */
  readonly audience: string
}

type Provider = CiSnippetQuery['provider']
type Mode = CiSnippetQuery['mode']

/** The variable of each CI service that names the commit. */
const COMMIT: Readonly<Record<Provider, string>> = {
  github: '$GITHUB_SHA',
  gitlab: '$CI_COMMIT_SHA',
  circleci: '$CIRCLE_SHA1',
  jenkins: '$GIT_COMMIT',
}

/** The builder that needs nothing more on the service's usual machines: GitLab's have no docker engine. */
const BUILDER: Readonly<Record<Provider, 'docker' | 'buildah'>> = {
  github: 'docker',
  gitlab: 'buildah',
  circleci: 'docker',
  jenkins: 'docker',
}

/** Holds the API key where jobs use one. */
export const KEY_VARIABLE = 'BERTH_KEY'
/** Holds the CI token where the service hands it out as a variable. */
export const ID_TOKEN_VARIABLE = 'BERTH_ID_TOKEN'

/**
 * The lines of a job that sign in, build and push, for `bash -e -o pipefail`. Snippets are made of these and nothing else
 * that runs, so what is tested is what people paste. No secret is ever an argument: those are readable by every process.
 */
export function shellLines(provider: Provider, mode: Mode, place: SnippetPlace): string[] {
  const builder = BUILDER[provider]
  const reference = `"${place.image}:${COMMIT[provider]}"`
  return [
    ...(mode === 'key' ? signInWithKey(builder, place) : signInWithoutKey(provider, builder, place)),
    `${builder} build -t ${reference} .`,
    `${builder} push ${reference}`,
  ]
}

function signInWithKey(builder: string, { host }: SnippetPlace): string[] {
  return [`printf '%s' "$${KEY_VARIABLE}" | ${login(builder, host, 'api')}`]
}

function signInWithoutKey(provider: Provider, builder: string, place: SnippetPlace): string[] {
  const { host, audience } = place
  switch (provider) {
    case 'github':
      return signInByExchange(place)
    case 'circleci':
      return [`circleci run oidc get --claims '{"aud":"${audience}"}' | ${login(builder, host, 'ci')}`]
    case 'gitlab':
    case 'jenkins':
      return [`printf '%s' "$${ID_TOKEN_VARIABLE}" | ${login(builder, host, 'ci')}`]
  }
}

/** GitHub's tokens live for five minutes, which a push may outlast, so it is exchanged for one that lives longer. */
function signInByExchange({ host, origin, namespace, audience }: SnippetPlace): string[] {
  return [
    `ci_token=$(printf 'Authorization: bearer %s' "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" \\`,
    `  | curl -fsS -H @- "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=${encodeURIComponent(audience)}" | jq -er .value)`,
    'echo "::add-mask::$ci_token"',
    `password=$(printf '%s' "$ci_token" | curl -sS ${origin}/auth/token \\`,
    '  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange \\',
    '  -d subject_token_type=urn:ietf:params:oauth:token-type:id_token \\',
    `  -d audience=${namespace} --data-urlencode subject_token@- \\`,
    `  | jq -er '.access_token // error(.errors[0].message)')`,
    'echo "::add-mask::$password"',
    `printf '%s' "$password" | ${login('docker', host, 'ci')}`,
  ]
}

function login(builder: string, host: string, username: string): string {
  return `${builder} login -u ${username} --password-stdin ${host}`
}
