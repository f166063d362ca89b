import { endSession } from '../../metastore/queries/person-session.ts'
import { asAuthChange } from '../people/auth-change.ts'
import { sessionCookieName, setCookie } from '../people/cookies.ts'
import { MAX_PASSWORD_LENGTH } from '../people/limits.ts'
import { safePath } from '../people/safe-path.ts'
import { signInWithPassword } from '../people/sign-in.ts'
import { SSO_PROVIDER } from '../people/settings.ts'
import { html, type Html } from './html.ts'
import type { PageAnswer, PageContext } from './page.ts'

/** Where a person who signs in lands when nothing else was asked for. */
export const HOME_PATH = '/account'

const EMPTY: Html = { html: '' }

/** `GET /sign-in`: the form, or straight on for who is signed in. */
export async function showSignIn(context: PageContext): Promise<PageAnswer> {
  const next = safePath(context.query['next'], HOME_PATH)
  if (context.person !== null) return { redirect: next }
  const { error } = context.query
  return renderSignIn(context, next, typeof error === 'string' ? ssoMessage(error) : null)
}

/** `POST /sign-in`. A session that the browser had before ends. Raises `rate_limited`, `unavailable`. */
export async function submitSignIn(context: PageContext): Promise<PageAnswer> {
  const { fields } = context
  const next = safePath(fields['next'], HOME_PATH)
  const { email = '', password = '' } = fields
  const outcome = await signInWithPassword(context, { email, password })
  if (!outcome.ok)
    return renderSignIn(context, next, 'E-mail address and password do not belong together.', email)
  await endSessionBefore(context)
  return { redirect: next, setCookies: outcome.setCookies }
}

function renderSignIn(
  { runtime, formToken }: PageContext,
  next: string,
  problem: string | null,
  email = '',
): PageAnswer {
  const { sso } = runtime.people
  const body = html`<main>
<h1>Sign in to Berth</h1>
${alertOf(problem)}
${sso === null ? EMPTY : html`<p><a class="button" href="/sign-in/sso?next=${encodeURIComponent(next)}">Continue with ${sso.name}</a></p>`}
<form method="post" action="/sign-in">
${formToken}<input type="hidden" name="next" value="${next}">
<label>E-mail address <input name="email" type="email" autocomplete="username" required maxlength="254" value="${email}"></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required maxlength="${String(MAX_PASSWORD_LENGTH)}"></label>
<button>Sign in</button>
</form>
<p class="hint">No account? Ask an operator of this Berth, or an owner of a project, for an invitation.</p>
</main>`
  return { status: problem === null ? 200 : 401, title: 'Sign in', body }
}

/** What went wrong, to be read out at once; nothing when nothing did. */
export function alertOf(problem: string | null): Html {
  return problem === null ? EMPTY : html`<p role="alert">${problem}</p>`
}

const SSO_MESSAGES: Readonly<Record<string, string>> = {
  email_not_verified: 'Your e-mail address is not verified there. Verify it, then try again.',
  domain_not_allowed: 'Your e-mail address is not in a domain that may sign in here.',
  signup_disabled: 'You have no account here yet. Ask for an invitation.',
  account_disabled: 'Your account is disabled. Ask an operator.',
  access_denied: 'The sign-in was cancelled.',
  account_not_linked: 'The sign-in could not be connected with your account. Ask an operator.',
}

function ssoMessage(code: string): string {
  return SSO_MESSAGES[code] ?? 'The sign-in there did not work. Try again.'
}

/**
 * `GET /sign-in/sso`: on to the issuer. With `confirm=1` it is asked to let the person prove again who they are. It is a
 * link and no form, because the policy of the pages lets forms go nowhere else. Raises `unavailable`, `rate_limited`.
 */
export async function startSso(context: PageContext): Promise<PageAnswer> {
  const { people, facts, query } = context
  await people.requests.spend(facts.address)
  const auth = await people.sso()
  if (auth === null) return { redirect: '/sign-in' }
  const next = safePath(query['next'], HOME_PATH)
  const change = { ...facts, method: 'sso' as const, confirmedAt: null, userId: null }
  const answer = await asAuthChange(change, () =>
    auth.api.signInSocial({
      body: {
        provider: SSO_PROVIDER,
        callbackURL: next,
        errorCallbackURL: `/sign-in?next=${encodeURIComponent(next)}`,
        disableRedirect: true,
        ...(query['confirm'] === '1' ? { additionalParams: { prompt: 'login', max_age: '0' } } : {}),
      },
      headers: new Headers(),
      asResponse: true,
    }),
  )
  const { url } = (await answer.json()) as { readonly url?: string }
  if (!answer.ok || url === undefined) throw new Error(`single sign-on did not start (${answer.status})`)
  return { redirect: url, setCookies: answer.headers.getSetCookie() }
}

/** `POST /sign-out`: ends the browser's session. */
export async function submitSignOut(context: PageContext): Promise<PageAnswer> {
  await endSessionBefore(context)
  const { consoleUrl } = context.runtime
  return { redirect: '/sign-in', setCookies: [setCookie(consoleUrl, sessionCookieName(consoleUrl), '', 0)] }
}

async function endSessionBefore({ runtime, person, facts }: PageContext): Promise<void> {
  if (person === null || person.sessionId === null) return
  const { userId, sessionId } = person
  const origin = { actor: `person:${userId}`, requestId: facts.requestId, nowMs: facts.nowMs }
  await runtime.db.run(endSession, { userId, id: sessionId, origin })
}
