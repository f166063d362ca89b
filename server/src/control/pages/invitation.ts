import { ApiError } from '@berth/api/errors'
import { isDisplaceable } from '../../metastore/queries/displaced-person.ts'
import type { OpenInvitation } from '../../metastore/queries/invitation.ts'
import { loadPersonByEmail } from '../../metastore/queries/person.ts'
import { dockerLogin } from '../api-keys/login-command.ts'
import {
  acceptAsNewcomer,
  acceptInvitation,
  INVITATION_PATH,
  openInvitation,
} from '../invitations/service.ts'
import { describeMistakes, newPersonForm } from '../people/create-person.ts'
import { MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH } from '../people/limits.ts'
import { signInWithPassword } from '../people/sign-in.ts'
import { actorOf, type PersonPrincipal } from '../principal.ts'
import { exampleHost } from './example-host.ts'
import { html, type Html } from './html.ts'
import type { PageAnswer, PageContext } from './page.ts'
import { alertOf } from './sign-in.ts'

/*
 * The link of an invitation. Looking at it changes nothing; it works until somebody accepted it. Who is signed in with
 * the address that was invited accepts with one button, who has no account makes one here.
 */

const newcomerForm = newPersonForm.pick({ name: true, password: true })

/** `GET /invitation?token=…`. */
export async function showInvitation(context: PageContext): Promise<PageAnswer> {
  const { token } = context.query
  const open = typeof token === 'string' ? await openInvitation(context.runtime, token) : null
  if (open === null || typeof token !== 'string') return notValid()
  return renderChoice(context, open, { token, problem: null, name: '' })
}

/** `POST /invitation`. Raises `unavailable`, `rate_limited`. */
export async function submitInvitation(context: PageContext): Promise<PageAnswer> {
  await context.people.requests.spend(context.facts.address)
  const { token = '' } = context.fields
  const open = await openInvitation(context.runtime, token)
  if (open === null) return notValid()
  try {
    return context.person === null
      ? await acceptWithNewAccount(context, open, token)
      : await acceptAs(context, context.person, open, token)
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    // Somebody was faster.
    if (error.code === 'invitation_not_found') return notValid()
    if (error.code !== 'invitation_for_another') throw error
    const problem =
      context.person === null
        ? 'Somebody has an account with this address already. If it is yours, sign in.'
        : null
    return renderChoice(context, open, { token, problem, name: context.fields['name'] ?? '' })
  }
}

async function acceptAs(
  { runtime, facts }: PageContext,
  person: PersonPrincipal,
  open: OpenInvitation,
  token: string,
): Promise<PageAnswer> {
  const origin = { actor: actorOf(person), requestId: facts.requestId, nowMs: facts.nowMs }
  await acceptInvitation(runtime, token, person.userId, origin)
  return renderWelcome(runtime, person.name, open)
}

async function acceptWithNewAccount(
  context: PageContext,
  open: OpenInvitation,
  token: string,
): Promise<PageAnswer> {
  const { runtime, people, facts, fields } = context
  const form = newcomerForm.safeParse(fields)
  if (!form.success) {
    const problem = describeMistakes(form.error)
    return renderChoice(context, open, { token, problem, name: fields['name'] ?? '' })
  }
  const { name, password } = form.data
  // Before the hash, which is expensive: a link that cannot make an account must not buy hashes. The command looks again.
  const { email, project_id: projectId, created_at: decidedAt } = open.invitation
  const holder = await loadPersonByEmail(runtime.db.reader, email)
  const givesWay = holder === null || (projectId === null && isDisplaceable(holder, decidedAt))
  if (!givesWay) throw new ApiError('invitation_for_another')
  const passwordHash = await people.passwords.hash(password)
  await acceptAsNewcomer(runtime, token, { name, passwordHash }, facts)
  const signedIn = await signInWithPassword(context, { email, password })
  return { ...renderWelcome(runtime, name, open), setCookies: signedIn.ok ? signedIn.setCookies : [] }
}

interface Shown {
  readonly token: string
  readonly problem: string | null
  readonly name: string
}

function renderChoice(context: PageContext, open: OpenInvitation, shown: Shown): PageAnswer {
  const { person } = context
  const { email } = open.invitation
  const isTheirs = person?.email === email
  const body = html`<main>
<h1>${titleOf(open)}</h1>
<p>The invitation is for <strong>${email}</strong>, and ends ${new Date(open.invitation.expires_at).toUTCString()}.</p>
${alertOf(shown.problem)}
${person === null ? newAccountForm(context, email, shown) : isTheirs ? acceptForm(context, person, shown) : wrongPerson(person)}
<footer>Berth ${context.runtime.installation.version}</footer>
</main>`
  const isRefused = shown.problem !== null || (person !== null && !isTheirs)
  return { status: isRefused ? 422 : 200, title: titleOf(open), body }
}

function titleOf({ invitation, project }: OpenInvitation): string {
  if (project !== null) return `You are invited to ${project.name} as ${invitation.role ?? ''}`
  return invitation.is_operator === 1 ? 'You are invited to Berth as an operator' : 'You are invited to Berth'
}

function acceptForm({ formToken }: PageContext, { name }: PersonPrincipal, { token }: Shown): Html {
  return html`<p>You are signed in as <strong>${name}</strong>.</p>
<form method="post" action="${INVITATION_PATH}">
${formToken}<input type="hidden" name="token" value="${token}">
<button>Accept</button>
</form>`
}

function newAccountForm({ formToken }: PageContext, email: string, { token, name }: Shown): Html {
  const here = `${INVITATION_PATH}?token=${token}`
  return html`<p><a class="button plain" href="/sign-in?next=${encodeURIComponent(here)}">I have an account</a></p>
<h2>Make an account</h2>
<form method="post" action="${INVITATION_PATH}">
${formToken}<input type="hidden" name="token" value="${token}">
<label>E-mail address <input type="email" autocomplete="username" readonly value="${email}"></label>
<label>Name <input name="name" autocomplete="name" required maxlength="100" value="${name}"></label>
<label>Password <input name="password" type="password" autocomplete="new-password" required minlength="${String(MIN_PASSWORD_LENGTH)}" maxlength="${String(MAX_PASSWORD_LENGTH)}"></label>
<p class="hint">At least ${String(MIN_PASSWORD_LENGTH)} characters; a few words that do not belong together are good.</p>
<button>Create the account and accept</button>
</form>`
}

function wrongPerson({ name, email }: PersonPrincipal): Html {
  return html`<p role="alert">You are signed in as ${name} (${email}), who was not invited. <a href="/account">Sign out</a> and open the link again.</p>`
}

function renderWelcome(
  runtime: PageContext['runtime'],
  name: string,
  { project }: OpenInvitation,
): PageAnswer {
  const { consoleUrl, installation } = runtime
  const host = exampleHost(runtime)
  const next =
    project === null
      ? html`<pre><code>berth login ${consoleUrl}
berth projects list</code></pre>`
      : html`<pre><code>berth login ${consoleUrl}
berth keys create laptop --project ${project.namespace}
${dockerLogin(host)}</code></pre>
<p>Images of the project are at <code>${host}/${project.namespace}/…</code></p>`
  const body = html`<main>
<h1>Hello ${name}</h1>
<p role="status">${project === null ? 'The invitation is accepted.' : `You are a member of ${project.name} now.`}</p>
<h2>Go on</h2>
${next}
<p><a href="/account">Your account</a></p>
<footer>Berth ${installation.version}</footer>
</main>`
  return { status: 200, title: 'Welcome to Berth', body }
}

/** The same for a link that was used, revoked, has expired, or never was. */
function notValid(): PageAnswer {
  const body = html`<main>
<h1>This invitation is not valid (any more).</h1>
<p>Links work once, and for some days. Copy it again, whole, or ask for a new one. If you accepted it already,
<a href="/sign-in">sign in</a>.</p>
</main>`
  return { status: 404, title: 'Invitation', body }
}
