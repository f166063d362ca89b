import type { DeviceCodeRow } from '../../metastore/people-tables.ts'
import { loadDeviceRequest } from '../../metastore/queries/device-code.ts'
import { asAuthChange } from '../people/auth-change.ts'
import { confirmedAtOf } from '../people/session-principal.ts'
import { tokenHmac } from '../people/token-hmac.ts'
import { isSteppedUp, type PersonPrincipal } from '../principal.ts'
import { html } from './html.ts'
import type { PageAnswer, PageContext } from './page.ts'
import { alertOf } from './sign-in.ts'

/*
 * The person's side of the device flow (RFC 8628 section 3.3): types or confirms the code that `berth login` shows, sees
 * who asks from where for what, and approves or denies. Approving hands out a session, so it takes a fresh confirmation.
 */

const CODE_LENGTH = 8

/** `GET /device[?user_code=…]`. */
export async function showDevice(context: PageContext): Promise<PageAnswer> {
  const code = normalizeCode(context.query['user_code'])
  const who = requirePerson(context, code)
  if ('redirect' in who) return who
  if (code === '') return renderEntry(context, null)
  return lookUp(context, who, code)
}

/** `POST /device`: the code alone, or the decision. Raises `rate_limited`. */
export async function submitDevice(context: PageContext): Promise<PageAnswer> {
  const { fields } = context
  const code = normalizeCode(fields['user_code'])
  const who = requirePerson(context, code)
  if ('redirect' in who) return who
  const { decision } = fields
  if (decision === 'approve' || decision === 'deny') return decide(context, who, { code, decision })
  return lookUp(context, who, code)
}

/** As it was shown, with or without the hyphen, in any case. */
function normalizeCode(given: unknown): string {
  if (typeof given !== 'string' || given.length > 64) return ''
  return given.replace(/[^A-Za-z0-9]/g, '').toUpperCase()
}

function requirePerson(
  { person, facts }: PageContext,
  code: string,
): PersonPrincipal | { readonly redirect: string } {
  const here = code === '' ? '/device' : `/device?user_code=${code}`
  if (person === null) return { redirect: `/sign-in?next=${encodeURIComponent(here)}` }
  if (isSteppedUp(person, facts.nowMs)) return person
  return { redirect: `/confirm?next=${encodeURIComponent(here)}` }
}

async function lookUp(context: PageContext, person: PersonPrincipal, code: string): Promise<PageAnswer> {
  const request = await findRequest(context, person, code)
  if (request === null)
    return renderEntry(context, 'There is no such code. It may have expired: run berth login again.')
  if (request.status !== 'pending')
    return renderEntry(context, 'This code was used already. Run berth login again.')
  return renderRequest(context, request, { person, code })
}

async function findRequest(
  { runtime, people, facts }: PageContext,
  person: PersonPrincipal,
  code: string,
): Promise<DeviceCodeRow | null> {
  await people.codeEntries.spend(person.userId)
  if (code.length !== CODE_LENGTH) return null
  return loadDeviceRequest(runtime.db.reader, tokenHmac(runtime.people.tokenKey, code), facts.nowMs)
}

async function decide(
  context: PageContext,
  person: PersonPrincipal,
  { code, decision }: { readonly code: string; readonly decision: 'approve' | 'deny' },
): Promise<PageAnswer> {
  const { people, facts, headers } = context
  const request = await findRequest(context, person, code)
  if (request === null || request.status !== 'pending') {
    return renderEntry(context, 'There is no such code any more. Run berth login again.')
  }
  const auth = await people.auth()
  const change = {
    ...facts,
    method: 'device' as const,
    confirmedAt: confirmedAtOf(person),
    userId: person.userId,
  }
  // The library knows the browser's session by its cookie.
  const own = { headers: new Headers({ cookie: headers.cookie ?? '' }), asResponse: true as const }
  const answer = await asAuthChange(change, async () => {
    // First the request is bound to this person, so that of two only one decides.
    const bound = await auth.api.deviceVerify({ query: { user_code: code }, ...own })
    if (!bound.ok) return bound
    const body = { userCode: code }
    return decision === 'approve'
      ? auth.api.deviceApprove({ body, ...own })
      : auth.api.deviceDeny({ body, ...own })
  })
  if (!answer.ok) return renderEntry(context, 'The code was decided on by somebody else, or has expired.')
  return renderDecided(decision)
}

function renderEntry({ formToken }: PageContext, problem: string | null): PageAnswer {
  const body = html`<main>
<h1>Log a device in</h1>
<p>Type the code that <code>berth login</code> shows.</p>
${alertOf(problem)}
<form method="post" action="/device">
${formToken}
<label>Code <input class="code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" required maxlength="16" placeholder="XXXX-XXXX"></label>
<button>Go on</button>
</form>
</main>`
  return { status: problem === null ? 200 : 404, title: 'Log a device in', body }
}

function renderRequest(
  { formToken }: PageContext,
  request: DeviceCodeRow,
  { person, code }: { readonly person: PersonPrincipal; readonly code: string },
): PageAnswer {
  const body = html`<main>
<h1>Log this device in?</h1>
<p>Allow it only if you have just started <code>berth login</code> yourself and it shows this code:</p>
<p class="code">${displayCode(code)}</p>
<table><tbody>
<tr><th>Asks</th><td>${request.user_agent ?? 'unknown program'}</td></tr>
<tr><th>From</th><td>${request.ip_address ?? 'unknown address'}</td></tr>
<tr><th>Since</th><td>${new Date(request.created_at).toISOString()}</td></tr>
</tbody></table>
<p>It will be able to do everything that <strong>${person.email}</strong> may do${person.isOperator ? ', which is everything in this Berth' : ''}, until you log it out. As long as your own confirmation counts, ten minutes at most, that includes keys, credentials, members and deletions; later those need a new confirmation.</p>
<form method="post" action="/device">
${formToken}<input type="hidden" name="user_code" value="${code}">
<button name="decision" value="approve">Log it in</button>
<button class="plain" name="decision" value="deny">Deny</button>
</form>
</main>`
  return { status: 200, title: 'Log this device in?', body }
}

function renderDecided(decision: 'approve' | 'deny'): PageAnswer {
  const body =
    decision === 'approve'
      ? html`<main>
<h1>The device is logged in</h1>
<p role="status">Go back to the terminal: it goes on within seconds. To end it later: <code>berth logout</code> there, or <code>berth sessions list</code>.</p>
</main>`
      : html`<main>
<h1>Denied</h1>
<p role="status">The device was not logged in. If you did not start it, somebody tried to get in with your help: tell an operator.</p>
</main>`
  return { status: 200, title: decision === 'approve' ? 'Logged in' : 'Denied', body }
}

/** As people read it: `ABCD-EFGH`. */
export function displayCode(code: string): string {
  return `${code.slice(0, CODE_LENGTH / 2)}-${code.slice(CODE_LENGTH / 2)}`
}
