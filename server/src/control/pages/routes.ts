import { createOpenApi } from '@berth/api/openapi'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { ControlRuntime } from '../runtime.ts'
import { PAGE_CONTENT_SECURITY_POLICY } from './html.ts'
import { renderLanding } from './landing.ts'
import { openSetup } from './setup.ts'

/** Paths outside of the API, with why each may be read without a token. */
export const PUBLIC_PATHS: Readonly<Record<string, string>> = {
  '/': 'says what this is',
  '/setup': 'has a token of its own, which works once',
  '/openapi.json': 'describes the API, the same for everybody',
}

/** Registers the console's own pages. None has a script. */
export function registerPages(app: FastifyInstance, runtime: ControlRuntime): void {
  app.get('/', { config: { route: 'landing' } }, async (_request, reply) =>
    sendPage(reply, 200, renderLanding(runtime)),
  )
  // HEAD must not use the token up: link checkers send it.
  app.get('/setup', { config: { route: 'setup' }, exposeHeadRoute: false }, async (request, reply) => {
    const { token } = request.query as { readonly token?: unknown }
    const { status, page } = await openSetup(runtime, token, request.id)
    return sendPage(reply, status, page)
  })
  const openApi = JSON.stringify(createOpenApi(runtime.installation.version))
  app.get('/openapi.json', { config: { route: 'openapi' } }, async (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(openApi),
  )
}

function sendPage(reply: FastifyReply, status: number, page: string): FastifyReply {
  return reply
    .code(status)
    .header('Content-Security-Policy', PAGE_CONTENT_SECURITY_POLICY)
    .type('text/html; charset=utf-8')
    .send(page)
}
