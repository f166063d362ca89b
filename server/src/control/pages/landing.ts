import type { ControlRuntime } from '../runtime.ts'
import { exampleHost } from './example-host.ts'
import { html, renderPage } from './html.ts'

/** What `/` shows to anybody: what this is and how to go on. No project, no secret. */
export function renderLanding(runtime: ControlRuntime): string {
  const regions = [...runtime.regions.values()].map(({ region }) => region)
  const host = exampleHost(runtime)
  const { sharedHost } = runtime
  return renderPage(
    'Berth',
    html`<main>
<h1>Berth</h1>
<p>A container registry with a private registry for every project.</p>
<h2>Registry hosts</h2>
<table>
<thead><tr><th>Region</th><th>Host</th></tr></thead>
<tbody>${regions.map((region) => html`<tr><td>${region.name}</td><td><code>${region.host}</code></td></tr>`)}${sharedHost === null ? '' : html`<tr><td>Home region of each project</td><td><code>${sharedHost.host}</code></td></tr>`}</tbody>
</table>
<h2>Push and pull with an API key</h2>
<pre><code>docker login ${host} -u api
docker tag my-image ${host}/&lt;project&gt;/my-image
docker push ${host}/&lt;project&gt;/my-image</code></pre>
<h2>Manage projects and keys</h2>
<pre><code>berth login ${runtime.consoleUrl}
berth projects list
berth keys create my-key --project &lt;project&gt;</code></pre>
<p><a href="/sign-in">Sign in</a> · <a href="/device">Log a device in</a></p>
<p>The HTTP API is described in <a href="/openapi.json">openapi.json</a>.</p>
<footer>Berth ${runtime.installation.version}</footer>
</main>`,
  )
}
