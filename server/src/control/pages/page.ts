import { ApiError } from '@berth/api/errors'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { IncomingMessage } from 'node:http'
import { sessionTokenOf } from '../people/cookies.ts'
import { isFormToken, makeFormToken } from '../people/form-token.ts'
import { MAX_FORM_BYTES } from '../people/limits.ts'
import type { People } from '../people/people.ts'
import { type RequestFacts, requestFacts } from '../people/request-facts.ts'
import { isSameOrigin } from '../people/same-origin.ts'
import { principalOfCookie } from '../people/session-principal.ts'
import type { PersonPrincipal } from '../principal.ts'
import { readBytes } from '../read-body.ts'
import { toApiError } from '../render-error.ts'
import type { ControlRuntime } from '../runtime.ts'
import { html, type Html, PAGE_CONTENT_SECURITY_POLICY, renderPage } from './html.ts'

/** What a page is made from. */
export interface PageContext {
  readonly runtime: ControlRuntime
  readonly people: People
  readonly facts: RequestFacts
  readonly headers: FastifyRequest['headers']
  readonly query: Readonly<Record<string, unknown>>
  /** Fields of a form that was sent, each once; empty for GET. */
  readonly fields: Readonly<Record<string, string>>
  /** Whose browser it is; null: nobody is signed in. */
  readonly person: PersonPrincipal | null
  /** To be put into each form of the page. */
  readonly formToken: Html
}

/** What to answer: a page, or where to go on. */
export type PageAnswer = (
  | { readonly status: number; readonly title: string; readonly body: Html }
  | { readonly redirect: string }
) & { readonly setCookies?: readonly string[] }

export type PageHandler = (context: PageContext) => Promise<PageAnswer>

/** A page of the console: what its path shows, and what its form does. */
export interface PageRoute {
  readonly path: `/${string}`
  /** Its name in metrics and the log. */
  readonly route: string
  readonly show?: PageHandler
  readonly submit?: PageHandler
}

/** Registers pages in a scope of their own: only here forms are read, and errors are pages. */
export function registerPageRoutes(
  app: FastifyInstance,
  runtime: ControlRuntime,
  people: People,
  routes: readonly PageRoute[],
): void {
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(
      'application/x-www-form-urlencoded',
      async (_request: FastifyRequest, body: IncomingMessage) =>
        parseForm(await readBytes(body, MAX_FORM_BYTES)),
    )
    scope.setErrorHandler((thrown, request, reply) => sendErrorPage(runtime, thrown, request, reply))
    for (const { path, route, show, submit } of routes) {
      const config = { route }
      if (show !== undefined) {
        scope.get(path, { config }, async (request, reply) => {
          const { context, setCookie } = await contextOf(runtime, people, request)
          return send(reply, await show(context), setCookie)
        })
      }
      if (submit !== undefined) {
        scope.post(path, { config }, async (request, reply) => {
          const { context, setCookie } = await contextOf(runtime, people, request)
          checkForm(runtime, request, context.fields)
          return send(reply, await submit(context), setCookie)
        })
      }
    }
  })
}

async function contextOf(
  runtime: ControlRuntime,
  people: People,
  request: FastifyRequest,
): Promise<{ context: PageContext; setCookie: string | null }> {
  const { headers } = request
  const token = sessionTokenOf(headers.cookie, runtime.consoleUrl)
  const { token: formToken, setCookie } = makeFormToken(runtime, headers.cookie)
  const context = {
    runtime,
    people,
    facts: requestFacts(runtime, request),
    headers,
    query: request.query as Record<string, unknown>,
    fields: (request.body ?? {}) as Record<string, string>,
    person: token === null ? null : await principalOfCookie(runtime, token),
    formToken: html`<input type="hidden" name="form" value="${formToken}">`,
  }
  return { context, setCookie }
}

/** Raises `forbidden` for a form that no page of this console sent. */
function checkForm(
  runtime: ControlRuntime,
  { headers }: FastifyRequest,
  fields: Readonly<Record<string, string>>,
): void {
  if (
    isSameOrigin(headers, runtime.consoleUrl) &&
    isFormToken(runtime, headers.cookie, fields['form'] ?? '')
  ) {
    return
  }
  throw new ApiError(
    'forbidden',
    'The form is too old, or came from another site. Go back, reload the page and send it again. Cookies must be allowed.',
  )
}

/** The fields of a form. Raises `invalid_request` when one comes twice or is not valid UTF-8. */
function parseForm(bytes: Buffer): Record<string, string> {
  const fields: Record<string, string> = Object.create(null) as Record<string, string>
  for (const [name, value] of new URLSearchParams(bytes.toString('utf8'))) {
    if (name in fields) throw new ApiError('invalid_request', 'A field of the form comes twice.')
    fields[name] = value
  }
  return fields
}

function send(reply: FastifyReply, answer: PageAnswer, formCookie: string | null): FastifyReply {
  const cookies = [...(answer.setCookies ?? []), ...(formCookie === null ? [] : [formCookie])]
  if (cookies.length > 0) reply.header('Set-Cookie', cookies)
  if ('redirect' in answer) return reply.code(303).header('Location', answer.redirect).send()
  return sendHtml(reply, answer.status, renderPage(answer.title, answer.body))
}

/** Sends a page with the one policy that all pages have. */
export function sendHtml(reply: FastifyReply, status: number, page: string): FastifyReply {
  return reply
    .code(status)
    .header('Content-Security-Policy', PAGE_CONTENT_SECURITY_POLICY)
    .type('text/html; charset=utf-8')
    .send(page)
}

function sendErrorPage(
  runtime: ControlRuntime,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const error = toApiError(thrown)
  if (error.status >= 500) {
    runtime.log.error({ requestId: request.id, err: error.cause ?? thrown }, 'a page failed')
  }
  reply.headers({ ...error.headers })
  if (!request.raw.complete) reply.header('Connection', 'close')
  const body = html`<main>
<h1>${error.status === 429 ? 'Too many attempts' : 'This did not work'}</h1>
<p role="alert">${error.detail}</p>
<p><a href="/sign-in">Sign in</a> · <a href="/">Start page</a></p>
<footer>Request ${request.id}</footer>
</main>`
  return sendHtml(reply, error.status, renderPage('Berth', body))
}
