import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { ApiError } from '@berth/api/errors'
import { writeNdjson } from '@berth/api/ndjson'
import { type HttpMethod, NDJSON_MEDIA_TYPE, type Operation } from '@berth/api/operation'
import { API_PREFIX, OPERATION_IDS, OPERATIONS, type OperationId } from '@berth/api/operations'
import { PROBLEM_MEDIA_TYPE, renderProblem } from '@berth/api/problem'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { createFailureLimit, type FailureLimit } from '../access/failure-limit.ts'
import { authenticate } from './authenticate.ts'
import { callOperation } from './call-operation.ts'
import { MAX_BODY_BYTES, MAX_PATH_PARAMETER_LENGTH, MAX_URL_LENGTH } from './limits.ts'
import { registerPages } from './pages/routes.ts'
import { registerAuthRoutes } from './people/auth-routes.ts'
import { createPeople } from './people/people.ts'
import type { ConsolePrincipal } from './principal.ts'
import { readJsonBody } from './read-body.ts'
import { toApiError } from './render-error.ts'
import { noteRefusal } from './refusals/note-refusal.ts'
import type { ControlRuntime } from './runtime.ts'
import { setSecurityHeaders } from './security-headers.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before the body is read, on routes of operations. */
    principal: ConsolePrincipal | null
  }
  interface FastifyContextConfig {
    /** What the route is called in metrics and the log. */
    readonly route?: string
  }
}

const METHODS: readonly (HttpMethod | 'PUT')[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
const REQUEST_ID_BYTES = 12

/**
 * Makes the console: the API of the table of operations, its pages, and what people sign in with. It does not listen; whoever does passes
 * requests to `routing`.
 */
export async function createConsole(runtime: ControlRuntime): Promise<FastifyInstance> {
  const app = Fastify({
    logger: false,
    genReqId: () => randomBytes(REQUEST_ID_BYTES).toString('hex'),
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { maxParamLength: MAX_PATH_PARAMETER_LENGTH },
    exposeHeadRoutes: true,
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => {
      void sendError(runtime, error, request, reply as FastifyReply)
    },
  })
  app.decorateRequest('principal', null)
  app.addHook('onRequest', async (request, reply) => {
    setSecurityHeaders(reply)
    reply.header('X-Request-Id', request.id)
    if (request.url.length > MAX_URL_LENGTH) throw new ApiError('uri_too_long')
  })
  app.addHook('onResponse', async (request, reply) => record(runtime, request, reply))
  app.setErrorHandler((error, request, reply) => sendError(runtime, error, request, reply))
  app.setNotFoundHandler(() => {
    throw new ApiError('route_not_found')
  })
  readBodies(app)
  const people = createPeople(runtime)
  registerPages(app, runtime, people)
  registerAuthRoutes(app, runtime, people)
  const failures = createFailureLimit()
  for (const id of OPERATION_IDS) registerOperation(app, runtime, failures, id)
  refuseOtherMethods(app)
  await app.ready()
  return app
}

function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addHook('preParsing', async (request, reply) => {
    // The listener leaves this to us, so that a body is asked for only after the caller is known.
    if (request.headers.expect?.toLowerCase() === '100-continue') reply.raw.writeContinue()
  })
  app.addContentTypeParser('application/json', async (request: FastifyRequest, body: IncomingMessage) => {
    if (request.headers['content-encoding'] !== undefined) throw new ApiError('unsupported_media_type')
    return readJsonBody(body)
  })
}

function registerOperation(
  app: FastifyInstance,
  runtime: ControlRuntime,
  failures: FailureLimit,
  id: OperationId,
): void {
  const operation: Operation = OPERATIONS[id]
  app.route({
    method: operation.method,
    url: routeUrl(operation),
    config: { route: id },
    onRequest: async (request) => {
      request.principal = await authenticate(runtime, failures, request)
    },
    handler: async (request, reply) => {
      const { principal, params, query, body } = request
      if (principal === null) throw new ApiError('unauthenticated')
      const call = {
        principal,
        requestId: request.id,
        signal: abortSignal(reply),
        input: { params, query, body },
      }
      const result = await callOperation(runtime, id, call)
      if (operation.stream === true) {
        const lines = Readable.from(writeNdjson(result as AsyncIterable<unknown>))
        return reply.code(operation.status).type(NDJSON_MEDIA_TYPE).send(lines)
      }
      return reply.code(operation.status).type('application/json; charset=utf-8').send(JSON.stringify(result))
    },
  })
}

function routeUrl(operation: Operation): string {
  return API_PREFIX + operation.path.replace(/\{(\w+)\}/g, ':$1')
}

/** Aborted when the client goes away before its answer is complete. */
function abortSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort()
  })
  return controller.signal
}

/** A known path with another method is 405, with what it does take. */
function refuseOtherMethods(app: FastifyInstance): void {
  const taken = new Map<string, Set<string>>()
  for (const id of OPERATION_IDS) {
    const operation: Operation = OPERATIONS[id]
    const methods = taken.get(routeUrl(operation)) ?? new Set()
    taken.set(routeUrl(operation), methods.add(operation.method))
  }
  for (const [url, methods] of taken) {
    const allow = [...methods, ...(methods.has('GET') ? ['HEAD'] : [])].sort().join(', ')
    app.route({
      method: METHODS.filter((method) => !methods.has(method)),
      url,
      config: { route: 'method_not_allowed' },
      onRequest: async () => {
        throw new ApiError('method_not_allowed', `The path takes ${allow}.`, { headers: { Allow: allow } })
      },
      handler: async () => null,
    })
  }
}

function sendError(
  runtime: ControlRuntime,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const error = toApiError(thrown)
  noteRefusal(runtime, request, error, routeName(request))
  const fields = { requestId: request.id, route: routeName(request), err: error.cause }
  if (error.code === 'internal_error') runtime.log.error(fields, 'request failed')
  else if (error.code === 'unavailable')
    runtime.log.warn(fields, 'request refused: a database is unavailable')
  setSecurityHeaders(reply)
  reply.headers({ 'X-Request-Id': request.id, ...error.headers })
  // A body that was not read to its end must not be taken for the next request.
  if (!request.raw.complete) reply.header('Connection', 'close')
  // As bytes: to a text the framework would add a charset, which this media type does not have.
  const body = Buffer.from(JSON.stringify(renderProblem(error, request.id)))
  return reply.code(error.status).header('Content-Type', PROBLEM_MEDIA_TYPE).send(body)
}

function record(runtime: ControlRuntime, request: FastifyRequest, reply: FastifyReply): void {
  const route = routeName(request)
  const status = reply.statusCode
  runtime.metrics.requests.inc({ surface: 'console', route, status: String(status) })
  runtime.metrics.requestSeconds.observe({ surface: 'console', route }, reply.elapsedTime / 1000)
  const ms = Math.round(reply.elapsedTime)
  runtime.log.info({ requestId: request.id, method: request.method, route, status, ms }, 'console request')
}

function routeName(request: FastifyRequest): string {
  return request.routeOptions?.config?.route ?? 'unknown'
}
