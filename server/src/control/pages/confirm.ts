import { loadPasswordHash } from '../../metastore/queries/person.ts'
import { confirmSession, loadSession } from '../../metastore/queries/person-session.ts'
import type { UserSessionRow } from '../../metastore/people-tables.ts'
import { MAX_PASSWORD_LENGTH } from '../people/limits.ts'
import { safePath } from '../people/safe-path.ts'
import { confirmedAtOf } from '../people/session-principal.ts'
import { checkPassword } from '../people/sign-in.ts'
import { isSteppedUp, type PersonPrincipal } from '../principal.ts'
import { html, type Html } from './html.ts'
import type { PageAnswer, PageContext } from './page.ts'
import { alertOf, HOME_PATH } from './sign-in.ts'

/*
 * "Confirm that it is you": proves again who somebody is, for the sensitive operations of the next minutes, in this
 * browser and, when the link names one, in another session of the same person, such as that of the command line.
 */

/** `GET /confirm[?session=…][&next=…]`. */
export async function showConfirm(context: PageContext): Promise<PageAnswer> {
  const request = await readRequest(context, context.query)
  if (request === 'sign_in') return { redirect: signInPath(context.query) }
  if (request === 'unknown_session') return unknownSession()
  if (request.other === null && isFresh(context, request.person)) {
    if (request.next !== null) return { redirect: request.next }
    return done()
  }
  return renderConfirm(context, request, null)
}

/** `POST /confirm`. Raises `rate_limited`. */
export async function submitConfirm(context: PageContext): Promise<PageAnswer> {
  const { runtime, fields, facts } = context
  const request = await readRequest(context, fields)
  if (request === 'sign_in') return { redirect: signInPath(fields) }
  if (request === 'unknown_session') return unknownSession()
  const { person, other, next } = request
  // A confirmation that vouches for another session is no new one: else two sessions could renew each other for ever.
  const vouchedAt = isFresh(context, person) ? confirmedAtOf(person) : null
  if (vouchedAt === null && !(await checkPassword(context, person, fields['password'] ?? ''))) {
    return renderConfirm(context, request, 'That is not your password.')
  }
  const origin = { actor: `person:${person.userId}`, requestId: facts.requestId, nowMs: facts.nowMs }
  const ids = [
    ...(vouchedAt !== null || person.sessionId === null ? [] : [person.sessionId]),
    ...(other === null ? [] : [other.id]),
  ]
  const method = vouchedAt === null ? 'password' : 'session'
  const confirmedAt = vouchedAt ?? facts.nowMs
  for (const id of ids) {
    await runtime.db.run(confirmSession, { userId: person.userId, id, method, confirmedAt, origin })
  }
  return next === null ? done() : { redirect: next }
}

interface ConfirmRequest {
  readonly person: PersonPrincipal
  /** Another session that the link names. */
  readonly other: UserSessionRow | null
  readonly next: string | null
}

async function readRequest(
  { runtime, person, facts }: PageContext,
  given: Readonly<Record<string, unknown>>,
): Promise<ConfirmRequest | 'sign_in' | 'unknown_session'> {
  if (person === null) return 'sign_in'
  const next = given['next'] === undefined ? null : safePath(given['next'], HOME_PATH)
  const id = given['session']
  if (typeof id !== 'string' || id === '' || id === person.sessionId) return { person, other: null, next }
  const other = await loadSession(runtime.db.reader, person.userId, id, facts.nowMs)
  return other === null ? 'unknown_session' : { person, other, next }
}

function isFresh({ facts }: PageContext, person: PersonPrincipal): boolean {
  return isSteppedUp(person, facts.nowMs)
}

function confirmPath(given: Readonly<Record<string, unknown>>): string {
  const query = new URLSearchParams()
  for (const name of ['session', 'next']) {
    const value = given[name]
    if (typeof value === 'string' && value !== '') query.set(name, value)
  }
  return query.size === 0 ? '/confirm' : `/confirm?${query.toString()}`
}

function signInPath(given: Readonly<Record<string, unknown>>): string {
  return `/sign-in?next=${encodeURIComponent(confirmPath(given))}`
}

async function renderConfirm(
  context: PageContext,
  { person, other, next }: ConfirmRequest,
  problem: string | null,
): Promise<PageAnswer> {
  const { runtime, formToken } = context
  const again = confirmPath({ session: other?.id, next })
  const fresh = isFresh(context, person)
  const hasPassword = (await loadPasswordHash(runtime.db.reader, person.userId)) !== null
  const body = html`<main>
<h1>Confirm that it is you</h1>
<p>You are signed in as <strong>${person.name}</strong> (${person.email}). What you are about to do is sensitive: afterwards you have ten minutes for it.</p>
${other === null ? html`` : describeSession(other)}
${alertOf(problem)}
${ssoLink(context, again, fresh)}
${fresh || hasPassword ? passwordForm({ formToken, other, next, fresh }) : html``}
<p class="hint">Not you? <a href="/account">Sign out</a>.</p>
</main>`
  return { status: problem === null ? 200 : 401, title: 'Confirm that it is you', body }
}

function passwordForm(options: {
  readonly formToken: Html
  readonly other: UserSessionRow | null
  readonly next: string | null
  readonly fresh: boolean
}): Html {
  const { formToken, other, next, fresh } = options
  return html`<form method="post" action="/confirm">
${formToken}${other === null ? html`` : html`<input type="hidden" name="session" value="${other.id}">`}
${next === null ? html`` : html`<input type="hidden" name="next" value="${next}">`}
${fresh ? html`` : html`<label>Password <input name="password" type="password" autocomplete="current-password" required maxlength="${String(MAX_PASSWORD_LENGTH)}"></label>`}
<button>Confirm</button>
</form>`
}

function ssoLink({ runtime }: PageContext, again: string, fresh: boolean): Html {
  const { sso } = runtime.people
  if (sso === null || fresh) return html``
  return html`<p><a class="button" href="/sign-in/sso?confirm=1&amp;next=${encodeURIComponent(again)}">Confirm with ${sso.name}</a></p>`
}

function describeSession(session: UserSessionRow): Html {
  return html`<p>This also confirms your session <strong>${session.user_agent ?? 'of the command line'}</strong> from ${session.ip_address ?? 'an unknown address'}, signed in ${new Date(session.created_at).toISOString()}. If you do not know it, close this page and end it: <code>berth sessions end ${session.id}</code></p>`
}

function unknownSession(): PageAnswer {
  const body = html`<main>
<h1>There is no such session</h1>
<p>It has ended, or it is somebody else's. Log in again with <code>berth login</code>.</p>
</main>`
  return { status: 404, title: 'No such session', body }
}

function done(): PageAnswer {
  const body = html`<main>
<h1>Confirmed</h1>
<p role="status">For ten minutes since you proved who you are, sensitive operations need no further confirmation. Go back and repeat what you were doing.</p>
<p><a href="/account">Your account</a></p>
</main>`
  return { status: 200, title: 'Confirmed', body }
}
