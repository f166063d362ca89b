import {
  DAY_MS,
  durationBetween,
  oneOf,
  parseDomains,
  parseHttpUrl,
  parseToken,
  text,
} from './parse-value.ts'
import { secret, variable } from './variable.ts'

/** Who may sign in, and what people may make. */
export const PEOPLE_VARIABLES = {
  projectCreation: variable(
    'BERTH_PROJECT_CREATION',
    'projectCreation',
    'Who may create projects: `anyone` with an account, or `operators` only.',
    'anyone',
    'anyone' as 'anyone' | 'operators',
    oneOf('anyone', 'operators'),
  ),
  namespaceReservationMs: variable(
    'BERTH_NAMESPACE_RESERVATION',
    'namespaceReservation',
    'How long the namespace of a deleted project is kept from others (1d to 3650d). One that anyone could pull from without a credential is kept for ever, and so is one whose images are not all removed yet.',
    '90d',
    90 * DAY_MS,
    durationBetween(DAY_MS, 3650 * DAY_MS),
  ),
  operatorToken: secret(
    'BERTH_OPERATOR_TOKEN',
    'operatorToken',
    'Bearer token of the operator, at least 24 characters. Made and printed once when unset.',
    parseToken,
  ),
  ssoIssuer: variable(
    'BERTH_SSO_ISSUER',
    'ssoIssuer',
    'Issuer of single sign-on for people (OpenID Connect). Its redirect URI is `<console URL>/api/auth/callback/sso`.',
    '(none)',
    null as string | null,
    parseHttpUrl,
  ),
  ssoClientId: variable(
    'BERTH_SSO_CLIENT_ID',
    'ssoClientId',
    'Client id that the issuer of single sign-on knows the console by.',
    '(none)',
    null as string | null,
    text,
  ),
  ssoClientSecret: secret(
    'BERTH_SSO_CLIENT_SECRET',
    'ssoClientSecret',
    'Client secret at the issuer of single sign-on. Unset: a public client, with PKCE alone.',
    text,
  ),
  ssoName: variable(
    'BERTH_SSO_NAME',
    'ssoName',
    'What the button of single sign-on is called.',
    'single sign-on',
    'single sign-on',
    text,
  ),
  ssoDomains: variable(
    'BERTH_SSO_DOMAINS',
    'ssoDomains',
    'Comma-separated e-mail domains. Whoever the issuer gives a verified address in one of them gets an account by signing in, and nobody outside of them gets in. Unset: only people who have an account already, by their verified address.',
    '(none)',
    [] as readonly string[],
    parseDomains,
  ),
} as const
