import { html } from './html.ts'
import type { PageAnswer, PageContext } from './page.ts'

/** `GET /account`: who is signed in in this browser, how to go on, and how to leave. */
export async function showAccount({ runtime, person, formToken }: PageContext): Promise<PageAnswer> {
  if (person === null) return { redirect: '/sign-in?next=%2Faccount' }
  const body = html`<main>
<h1>${person.name}</h1>
<p>Signed in as ${person.email}${person.isOperator ? ', an operator of this Berth' : ''}.</p>
<h2>On the command line</h2>
<pre><code>berth login ${runtime.consoleUrl}
berth projects list
berth sessions list</code></pre>
<form method="post" action="/sign-out">${formToken}<button class="plain">Sign out</button></form>
<p><a href="/">Start page</a></p>
<footer>Berth ${runtime.installation.version}</footer>
</main>`
  return { status: 200, title: 'Your account', body }
}
