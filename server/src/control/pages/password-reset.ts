import { describeMistakes, newPersonForm } from '../people/create-person.ts'
import { tokenHmac } from '../people/token-hmac.ts'
import { openPasswordReset, PASSWORD_RESET_PATH, usePasswordReset } from '../people/service.ts'
import { html } from './html.ts'
import { newPasswordField } from './new-password.ts'
import type { PageAnswer, PageContext } from './page.ts'
import { alertOf } from './sign-in.ts'

/*
 * The link that an operator made for somebody who forgot their password. Looking at it changes nothing; it works until a
 * password was set with it.
 */

const passwordForm = newPersonForm.pick({ password: true })

type Owner = NonNullable<Awaited<ReturnType<typeof openPasswordReset>>>

/** `GET /password-reset?token=…`. */
export async function showPasswordReset(context: PageContext): Promise<PageAnswer> {
  const { token } = context.query
  if (typeof token !== 'string') return notValid()
  const owner = await openPasswordReset(context.runtime, token)
  return owner === null ? notValid() : renderForm(context, owner, token, null)
}

/** `POST /password-reset`. A session of the same person in this browser goes on, all others end. Raises `unavailable`. */
export async function submitPasswordReset(context: PageContext): Promise<PageAnswer> {
  const { runtime, people, facts, fields, person } = context
  const { token = '' } = fields
  const owner = await openPasswordReset(runtime, token)
  if (owner === null) return notValid()
  const form = passwordForm.safeParse(fields)
  if (!form.success) return renderForm(context, owner, token, describeMistakes(form.error))
  const password = {
    userId: owner.id,
    passwordHash: await people.passwords.hash(form.data.password),
    keepSessionId: person?.userId === owner.id ? person.sessionId : null,
  }
  // Somebody was faster.
  if (!(await usePasswordReset(runtime, token, password, facts))) return notValid()
  // Whoever forgot a password has tried many.
  await people.passwordFailures.forget(tokenHmac(runtime.people.tokenKey, owner.email), facts.address)
  return done()
}

function renderForm(
  { runtime, formToken }: PageContext,
  { name, email }: Owner,
  token: string,
  problem: string | null,
): PageAnswer {
  const body = html`<main>
<h1>Set a new password</h1>
<p>For <strong>${name}</strong> (${email}). All sessions of the account end with it.</p>
${alertOf(problem)}
<form method="post" action="${PASSWORD_RESET_PATH}">
${formToken}<input type="hidden" name="token" value="${token}">
<label>E-mail address <input type="email" autocomplete="username" readonly value="${email}"></label>
${newPasswordField('Password')}
<button>Set the password</button>
</form>
<footer>Berth ${runtime.installation.version}</footer>
</main>`
  return { status: problem === null ? 200 : 422, title: 'Set a new password', body }
}

function done(): PageAnswer {
  const body = html`<main>
<h1>Your password is set</h1>
<p role="status">You are signed out everywhere else. Personal access tokens and API keys still work: revoke those that you do not know.</p>
<pre><code>berth login
berth tokens list</code></pre>
<p><a class="button" href="/sign-in">Sign in</a></p>
</main>`
  return { status: 200, title: 'Your password is set', body }
}

/** The same for a link that was used, has expired, or never was. */
function notValid(): PageAnswer {
  const body = html`<main>
<h1>This link is not valid (any more).</h1>
<p>Links work once, and for a day. Copy it again, whole, or ask an operator for a new one. If you set a password with it
already, <a href="/sign-in">sign in</a>.</p>
</main>`
  return { status: 404, title: 'Set a new password', body }
}
