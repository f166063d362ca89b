import { randomUUID } from 'node:crypto'
import { changePassword } from '../../metastore/queries/password.ts'
import { loadPasswordHash } from '../../metastore/queries/person.ts'
import { describeMistakes, newPersonForm } from '../people/create-person.ts'
import { MAX_PASSWORD_LENGTH } from '../people/limits.ts'
import { checkPassword } from '../people/sign-in.ts'
import { actorOf, type PersonPrincipal } from '../principal.ts'
import { html, type Html } from './html.ts'
import { newPasswordField } from './new-password.ts'
import type { PageAnswer, PageContext } from './page.ts'
import { alertOf } from './sign-in.ts'

const SIGN_IN: PageAnswer = { redirect: '/sign-in?next=%2Faccount' }

const passwordForm = newPersonForm.pick({ password: true })

/** `GET /account`: who is signed in in this browser, how to go on, a form for another password, and how to leave. */
export async function showAccount(context: PageContext): Promise<PageAnswer> {
  return context.person === null ? SIGN_IN : renderAccount(context, context.person, { kind: 'nothing' })
}

/** `POST /account`: sets another password; all other sessions end. Raises `rate_limited`, `unavailable`. */
export async function submitAccount(context: PageContext): Promise<PageAnswer> {
  const { runtime, people, facts, fields, person } = context
  if (person === null || person.sessionId === null) return SIGN_IN
  const form = passwordForm.safeParse(fields)
  if (!form.success) {
    return renderAccount(context, person, {
      kind: 'problem',
      status: 422,
      text: describeMistakes(form.error),
    })
  }
  if (!(await checkPassword(context, person, fields['current'] ?? ''))) {
    return renderAccount(context, person, {
      kind: 'problem',
      status: 401,
      text: 'The present password is not right.',
    })
  }
  const { userId, sessionId } = person
  const changed = await runtime.db.run(changePassword, {
    userId,
    credentialId: randomUUID(),
    passwordHash: await people.passwords.hash(form.data.password),
    keepSessionId: sessionId,
    origin: { actor: actorOf(person), requestId: facts.requestId, nowMs: facts.nowMs },
  })
  return changed.ok ? renderAccount(context, person, { kind: 'changed' }) : SIGN_IN
}

/** What came of the form for another password. */
type Outcome =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'changed' }
  | { readonly kind: 'problem'; readonly status: 401 | 422; readonly text: string }

async function renderAccount(
  { runtime, formToken }: PageContext,
  person: PersonPrincipal,
  outcome: Outcome,
): Promise<PageAnswer> {
  const hasPassword = (await loadPasswordHash(runtime.db.reader, person.userId)) !== null
  const body = html`<main>
<h1>${person.name}</h1>
<p>Signed in as ${person.email}${person.isOperator ? ', an operator of this Berth' : ''}.</p>
${outcome.kind === 'changed' ? html`<p role="status">Your password is changed, and your other sessions have ended.</p>` : html``}
${alertOf(outcome.kind === 'problem' ? outcome.text : null)}
<h2>On the command line</h2>
<pre><code>berth login ${runtime.consoleUrl}
berth projects list
berth sessions list</code></pre>
<form method="post" action="/sign-out">${formToken}<button class="plain">Sign out</button></form>
${hasPassword ? changeForm(formToken, person) : html``}
<p><a href="/">Start page</a></p>
<footer>Berth ${runtime.installation.version}</footer>
</main>`
  return { status: outcome.kind === 'problem' ? outcome.status : 200, title: 'Your account', body }
}

function changeForm(formToken: Html, { email }: PersonPrincipal): Html {
  return html`<h2>Another password</h2>
<form method="post" action="/account">
${formToken}<label>E-mail address <input type="email" autocomplete="username" readonly value="${email}"></label>
<label>Present password <input name="current" type="password" autocomplete="current-password" required maxlength="${String(MAX_PASSWORD_LENGTH)}"></label>
${newPasswordField('New password')}
<p class="hint">Your other sessions end.</p>
<button>Change the password</button>
</form>`
}
