import { useSetupToken } from '../../metastore/queries/installation.ts'
import { loadFirstProject } from '../../metastore/queries/project.ts'
import { dockerLogin } from '../api-keys/login-command.ts'
import { MAX_SETUP_TOKEN_LENGTH } from '../limits.ts'
import { sameHmac } from '../operator-auth.ts'
import type { ControlRuntime } from '../runtime.ts'
import { html, renderPage } from './html.ts'

export interface SetupPage {
  readonly status: 200 | 403 | 410
  readonly page: string
}

/**
 * Opens the one-time setup link: says how the operator logs in and how to push to the first project. The token works
 * once; the operator's token and the first key were printed by the first start and are not here.
 */
export async function openSetup(
  runtime: ControlRuntime,
  token: unknown,
  requestId: string,
): Promise<SetupPage> {
  if (!isSetupToken(runtime, token))
    return { status: 403, page: renderRefusal('This setup link is not valid.') }
  const origin = { actor: 'setup', requestId, nowMs: runtime.clock.nowMs() }
  const { firstUse } = await runtime.db.run(useSetupToken, { origin })
  if (!firstUse) return { status: 410, page: renderRefusal('This setup link was used already.') }
  const project = await loadFirstProject(runtime.db.reader)
  return { status: 200, page: renderSetup(runtime, project?.namespace ?? null) }
}

function isSetupToken(runtime: ControlRuntime, token: unknown): boolean {
  if (runtime.setupTokenHmac === null || typeof token !== 'string') return false
  if (token.length > MAX_SETUP_TOKEN_LENGTH) return false
  return sameHmac(runtime.operatorAuth.hmac(token), runtime.setupTokenHmac)
}

function renderSetup(runtime: ControlRuntime, namespace: string | null): string {
  const host = [...runtime.regions.values()][0]?.region.host ?? 'localhost:5000'
  const project = namespace ?? 'my-project'
  const create = namespace === null ? html`berth projects create ${project}\n` : html``
  return renderPage(
    'Set up Berth',
    html`<main>
<h1>Welcome to Berth</h1>
<p>This link works once. Keep the page open until you are done.</p>
<h2>1. Log in as the operator</h2>
<p>The first start printed the operator token (or you set it yourself). The command asks for it.</p>
<pre><code>berth login ${runtime.consoleUrl}</code></pre>
<h2>2. Log docker in</h2>
<p>The first start also printed an API key of the project <code>${project}</code>. To make another one:</p>
<pre><code>${create}berth keys create laptop --project ${project}
${dockerLogin(host)}</code></pre>
<h2>3. Push</h2>
<pre><code>docker pull alpine
docker tag alpine ${host}/${project}/alpine
docker push ${host}/${project}/alpine</code></pre>
<footer>Berth ${runtime.installation.version}</footer>
</main>`,
  )
}

function renderRefusal(message: string): string {
  return renderPage(
    'Set up Berth',
    html`<main>
<h1>${message}</h1>
<p>A link works once, and only the newest one does. Whoever has the operator token can go on with
<code>berth login</code>.</p>
</main>`,
  )
}
