import assert from 'node:assert/strict'

/*
 * A person's browser, as far as pages without script need one: cookies, links, forms, and redirects that it follows only
 * when asked to.
 */

export interface BrowserAnswer {
  readonly status: number
  readonly location: string | null
  readonly html: string
  readonly headers: Headers
}

export interface Browser {
  /** Cookies by name. */
  readonly cookies: Map<string, string>
  get(path: string): Promise<BrowserAnswer>
  /** Fills in and sends the form of the page that was got last, with what is hidden in it. */
  submit(fields: Readonly<Record<string, string>>, options?: SubmitOptions): Promise<BrowserAnswer>
  /** Sends any request with the cookies, as a script of the page would. */
  fetch(path: string, init?: RequestInit): Promise<Response>
}

export interface SubmitOptions {
  /** Which form, by its action; default: the first. */
  readonly action?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Fields that are left out, as somebody who forges the form would have to. */
  readonly without?: readonly string[]
}

/** Opens a browser without cookies. `origin`: what pages of the console are served as. */
export function openBrowser(baseUrl: string, origin: string, headers: Record<string, string> = {}): Browser {
  const cookies = new Map<string, string>()
  let page: BrowserAnswer | null = null

  async function send(path: string, init: RequestInit = {}): Promise<Response> {
    const url = new URL(path, baseUrl)
    const jar = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, {
      ...init,
      redirect: 'manual',
      headers: {
        'user-agent': 'TestBrowser/1.0',
        ...headers,
        ...(jar === '' ? {} : { cookie: jar }),
        ...(init.headers as Record<string, string> | undefined),
      },
    })
    for (const line of response.headers.getSetCookie()) keep(cookies, line)
    return response
  }

  async function read(response: Response): Promise<BrowserAnswer> {
    const answer = {
      status: response.status,
      location: response.headers.get('location'),
      html: await response.text(),
      headers: response.headers,
    }
    if (answer.location === null) page = answer
    return answer
  }

  return {
    cookies,
    fetch: send,
    get: async (path) => read(await send(path)),
    async submit(fields, options = {}) {
      assert.ok(page !== null, 'no page was got')
      const form = findForm(page.html, options.action)
      const values = { ...form.hidden, ...fields }
      for (const name of options.without ?? []) delete values[name]
      const response = await send(form.action, {
        method: 'POST',
        body: new URLSearchParams(values).toString(),
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          origin,
          'sec-fetch-site': 'same-origin',
          ...options.headers,
        },
      })
      return read(response)
    },
  }
}

function keep(cookies: Map<string, string>, line: string): void {
  const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
  const at = pair.indexOf('=')
  const name = pair.slice(0, at)
  const gone = attributes.some((attribute) => /^max-age=(0|-\d+)$/i.test(attribute))
  if (gone) cookies.delete(name)
  else cookies.set(name, pair.slice(at + 1))
}

function findForm(
  html: string,
  wanted: string | undefined,
): { action: string; hidden: Record<string, string> } {
  for (const [, attributes = '', content = ''] of html.matchAll(/<form ([^>]*)>([^]*?)<\/form>/g)) {
    const action = /action="([^"]*)"/.exec(attributes)?.[1] ?? ''
    if (wanted !== undefined && action !== wanted) continue
    const hidden: Record<string, string> = {}
    for (const [, name = '', value = ''] of content.matchAll(
      /<input type="hidden" name="([^"]*)" value="([^"]*)">/g,
    )) {
      hidden[name] = unescapeHtml(value)
    }
    return { action, hidden }
  }
  throw new assert.AssertionError({ message: `the page has no form ${wanted ?? ''}:\n${html}` })
}

function unescapeHtml(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')
}
