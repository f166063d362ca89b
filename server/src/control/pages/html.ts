import { createHash } from 'node:crypto'

/** Text that is HTML already. */
export interface Html {
  readonly html: string
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}

/** HTML with every value escaped; values that are `Html` themselves, and lists of those, go in as they are. */
export function html(
  parts: TemplateStringsArray,
  ...values: readonly (string | Html | readonly Html[])[]
): Html {
  const rendered = values.map((value) => {
    if (typeof value === 'string') return escapeHtml(value)
    return 'html' in value ? value.html : value.map((entry) => entry.html).join('')
  })
  return { html: parts.map((part, i) => part + (rendered[i] ?? '')).join('') }
}

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 46rem; margin: 4rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; letter-spacing: -.01em; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; }
code { font: .9em/1.6 ui-monospace, monospace; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
form { margin: 1.25rem 0; max-width: 24rem; }
label { display: block; margin: .8rem 0; }
input { display: block; box-sizing: border-box; width: 100%; margin-top: .2rem; padding: .5rem .6rem; font: inherit; border: 1px solid var(--line); border-radius: .4rem; background: var(--soft); color: inherit; }
button, .button { display: inline-block; margin: .4rem .5rem .4rem 0; padding: .5rem 1rem; font: inherit; border: 1px solid #2563eb; border-radius: .4rem; background: #2563eb; color: #fff; text-decoration: none; cursor: pointer; }
.plain { background: none; border-color: var(--line); color: inherit; }
.hint { color: #888; font-size: .9rem; }
[role=alert] { border-left: 3px solid #dc2626; padding: .4rem .8rem; background: var(--soft); }
[role=status] { border-left: 3px solid #16a34a; padding: .4rem .8rem; background: var(--soft); }
.code { font: 1.4rem/1.4 ui-monospace, monospace; letter-spacing: .1em; }
footer { margin-top: 3rem; color: #888; font-size: .85rem; }
`

/**
 * The only style that a page may use is the one in it; scripts, images and frames are not allowed at all, and forms go
 * nowhere else.
 */
export const PAGE_CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`

/** A whole page. */
export function renderPage(title: string, body: Html): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${{ html: STYLE }}</style>
</head>
<body>
${body}
</body>
</html>
`
  return page.html
}
