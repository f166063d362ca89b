import { setUpFirstOperator, wasSetupUsed } from '../../metastore/queries/person.ts'
import { loadFirstProject } from '../../metastore/queries/project.ts'
import { dockerLogin } from '../api-keys/login-command.ts'
import { MAX_SETUP_TOKEN_LENGTH } from '../limits.ts'
import { sameHmac } from '../operator-auth.ts'
import { describeMistakes, newPersonForm, preparePerson } from '../people/create-person.ts'
import { MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH } from '../people/limits.ts'
import { signInWithPassword } from '../people/sign-in.ts'
import type { ControlRuntime } from '../runtime.ts'
import { exampleHost } from './example-host.ts'
import { html } from './html.ts'
import type { PageAnswer, PageContext } from './page.ts'
import { alertOf } from './sign-in.ts'

/*
 * The setup link of the first start: whoever has it makes the account of the first operator. Looking at it changes
 * nothing; it works until the form was sent once.
 */

/** `GET /setup?token=…`. */
export async function showSetup(context: PageContext): Promise<PageAnswer> {
  const { token } = context.query
  const refusal = await refuse(context.runtime, token)
  return refusal ?? renderForm(context, { token: String(token), problem: null, name: '', email: '' })
}

/** `POST /setup`. Raises `unavailable`. */
export async function submitSetup(context: PageContext): Promise<PageAnswer> {
  const { runtime, people, facts, fields } = context
  const { token = '', name = '', email = '' } = fields
  const refusal = await refuse(runtime, token)
  if (refusal !== null) return refusal
  const retry = (problem: string) => renderForm(context, { token, problem, name, email })
  const form = newPersonForm.safeParse(fields)
  if (!form.success) return retry(describeMistakes(form.error))
  const person = await preparePerson(people, form.data, true)
  const origin = { actor: 'setup', requestId: facts.requestId, nowMs: facts.nowMs }
  const outcome = await runtime.db.run(setUpFirstOperator, { person, origin })
  if (!outcome.ok) {
    return outcome.reason === 'used'
      ? used()
      : retry('Somebody has an account with this e-mail address already.')
  }
  const signedIn = await signInWithPassword(context, form.data)
  const project = await loadFirstProject(runtime.db.reader)
  return {
    ...renderWelcome(runtime, form.data.name, project?.namespace ?? null),
    setCookies: signedIn.ok ? signedIn.setCookies : [],
  }
}

/** What is shown instead of the form when the link is no good; null: it is. */
async function refuse(runtime: ControlRuntime, token: unknown): Promise<PageAnswer | null> {
  if (!isSetupToken(runtime, token)) return invalid()
  return (await wasSetupUsed(runtime.db.reader)) ? used() : null
}

function isSetupToken(runtime: ControlRuntime, token: unknown): boolean {
  if (runtime.setupTokenHmac === null || typeof token !== 'string') return false
  if (token.length > MAX_SETUP_TOKEN_LENGTH) return false
  return sameHmac(runtime.operatorAuth.hmac(token), runtime.setupTokenHmac)
}

function renderForm(
  { runtime, formToken }: PageContext,
  shown: {
    readonly token: string
    readonly problem: string | null
    readonly name: string
    readonly email: string
  },
): PageAnswer {
  const { token, problem, name, email } = shown
  const body = html`<main>
<h1>Welcome to Berth</h1>
<p>Make the account of the first operator. This link works once.</p>
${alertOf(problem)}
<form method="post" action="/setup">
${formToken}<input type="hidden" name="token" value="${token}">
<label>Name <input name="name" autocomplete="name" required maxlength="100" value="${name}"></label>
<label>E-mail address <input name="email" type="email" autocomplete="username" required maxlength="254" value="${email}"></label>
<label>Password <input name="password" type="password" autocomplete="new-password" required minlength="${String(MIN_PASSWORD_LENGTH)}" maxlength="${String(MAX_PASSWORD_LENGTH)}"></label>
<p class="hint">At least ${String(MIN_PASSWORD_LENGTH)} characters; a few words that do not belong together are good.</p>
<button>Create the account</button>
</form>
<p class="hint">In a hurry? The first start also printed an API key and the commands for a first push: they work without an account. <code>berth login ${runtime.consoleUrl} --token</code> takes the operator token.</p>
<footer>Berth ${runtime.installation.version}</footer>
</main>`
  return { status: problem === null ? 200 : 422, title: 'Set up Berth', body }
}

function renderWelcome(runtime: ControlRuntime, name: string, namespace: string | null): PageAnswer {
  const host = exampleHost(runtime)
  const project = namespace ?? 'my-project'
  const create = namespace === null ? html`berth projects create ${project}\n` : html``
  const body = html`<main>
<h1>Hello ${name}</h1>
<p role="status">Your account is made, and you are signed in in this browser.</p>
<h2>1. Log the command line in</h2>
<p>It shows a code, which you approve in this browser.</p>
<pre><code>berth login ${runtime.consoleUrl}</code></pre>
<p class="hint">In a clone of Berth's repository, write <code>npm run berth --</code> for <code>berth</code>.</p>
<h2>2. Log docker in</h2>
<p>The first start printed an API key of the project <code>${project}</code>. To make another one:</p>
<pre><code>${create}berth keys create laptop --project ${project}
${dockerLogin(host)}</code></pre>
<h2>3. Push</h2>
<pre><code>docker pull alpine
docker tag alpine ${host}/${project}/alpine
docker push ${host}/${project}/alpine</code></pre>
<p><a href="/account">Your account</a></p>
<footer>Berth ${runtime.installation.version}</footer>
</main>`
  return { status: 200, title: 'Welcome to Berth', body }
}

function invalid(): PageAnswer {
  const body = html`<main>
<h1>This setup link is not valid.</h1>
<p>Copy it again, whole, from what the first start printed. Without it: whoever has the operator token can go on with
<code>berth login --token</code>.</p>
</main>`
  return { status: 403, title: 'Set up Berth', body }
}

function used(): PageAnswer {
  const body = html`<main>
<h1>This setup link was used already.</h1>
<p>If you made the account, <a href="/sign-in">sign in</a>. If somebody else did and should not have, set
<code>BERTH_OPERATOR_TOKEN</code>, restart, and look at who did it with <code>berth audit list --all-projects</code>.</p>
</main>`
  return { status: 410, title: 'Set up Berth', body }
}
