import type { IncomingMessage, ServerResponse } from 'node:http'
import { OciError } from '@berth/oci/errors'
import type { Action } from '../access/principal.ts'
import type { Answer } from './answer.ts'
import { getBlob, removeBlob } from './blobs.ts'
import { answerCatalog } from './catalog.ts'
import { ClientGone, renderError } from './errors.ts'
import { type Exchange, isGone, openExchange } from './exchange.ts'
import { noteRefusal } from './explanation.ts'
import { authenticate, authorize, type Grant, mountScope, repositoryScope } from './grant.ts'
import { withKeyExpiry } from './key-expiry.ts'
import { getManifest, putManifest, removeManifest } from './manifests.ts'
import { answerPing } from './ping.ts'
import { getConnectedBlob } from './pull-through/connected-blobs.ts'
import { answerConnectedReferrers, answerConnectedTagList } from './pull-through/connected-lists.ts'
import { getConnectedManifest } from './pull-through/connected-manifests.ts'
import { type ConnectedRepository, findConnectedRepository } from './pull-through/connected-repository.ts'
import { answerReferrers } from './referrers.ts'
import { type ServedRegion, serveRegion } from './region.ts'
import { createRequestMetrics, type RequestMetrics } from './request-metrics.ts'
import { parseRequest, type RegistryRequest, type RepositoryRequest, type SessionRequest } from './request.ts'
import type { RegionRuntime } from './runtime.ts'
import { send } from './send.ts'
import { answerTagList } from './tags.ts'
import { answerToken } from './token.ts'
import { isOwnSession } from './upload-session.ts'
import { answerUploadStatus, cancelUpload, patchUpload, putUpload, startUpload } from './uploads.ts'

/** What each kind of request needs to be allowed to do to its repository. A kind without a row does not compile. */
const ACTIONS: Readonly<Record<RepositoryRequest['kind'], Action>> = {
  'tag-list': 'pull',
  referrers: 'pull',
  'manifest-get': 'pull',
  'manifest-put': 'push',
  'manifest-delete': 'delete',
  'blob-get': 'pull',
  'blob-delete': 'delete',
  'upload-start': 'push',
  'upload-status': 'push',
  'upload-patch': 'push',
  'upload-put': 'push',
  'upload-cancel': 'push',
}

/** Requests of which one image takes many: their answers carry no warning about the key. */
const BULK: ReadonlySet<RegistryRequest['kind']> = new Set(['blob-get', 'blob-delete', 'upload-start'])

/**
 * The data plane of one region as a request listener, for 'request' and for 'checkContinue': it asks for a body only
 * when it wants it. The server must not limit the whole time of a request (`requestTimeout: 0`).
 */
export function createRegistryHandler(
  runtime: RegionRuntime,
): (req: IncomingMessage, res: ServerResponse) => void {
  const region = serveRegion(runtime)
  const metrics = createRequestMetrics(runtime.metrics)
  return (req, res) => {
    void serve(region, metrics, req, res)
  }
}

async function serve(
  region: ServedRegion,
  metrics: RequestMetrics,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const exchange = openExchange(region, req, res)
  const observe = metrics.begin()
  let kind: RegistryRequest['kind'] | 'unknown' = 'unknown'
  let request: RegistryRequest | null = null
  try {
    request = parseRequest(req.method ?? '', req.url ?? '')
    kind = request.kind
    const answer = await answerRequest(region, exchange, request)
    await send(exchange, withNamespace(region, request, answer))
  } catch (error) {
    await answerError(region, exchange, error)
    noteRefusal(region, exchange, request, error)
  }
  const tookMs = observe(kind, res.statusCode)
  if (region.log.isLevelEnabled('debug')) {
    const { requestId, clientAddress } = exchange
    region.log.debug({ requestId, clientAddress, route: kind, status: res.statusCode, tookMs }, 'answered')
  }
}

/** After the headers have gone there is no other answer: the connection is cut, which no client takes for an end. */
async function answerError(region: ServedRegion, exchange: Exchange, error: unknown): Promise<void> {
  const { res, requestId } = exchange
  if (error instanceof ClientGone || isGone(exchange) || res.headersSent) {
    if (!(error instanceof ClientGone)) {
      region.log.error({ err: error, requestId, region: region.region.id }, 'request failed midway')
    }
    res.destroy()
    return
  }
  try {
    await send(exchange, renderError(region, exchange, error))
  } catch (sendError) {
    if (!(sendError instanceof ClientGone)) {
      region.log.error({ err: sendError, requestId }, 'an error answer could not be sent')
    }
    res.destroy()
  }
}

async function answerRequest(
  region: ServedRegion,
  exchange: Exchange,
  request: RegistryRequest,
): Promise<Answer> {
  switch (request.kind) {
    case 'ping':
      return answerPing(region, exchange)
    case 'token':
      return answerToken(region, exchange, request)
    case 'catalog':
      return answerCatalog(region, exchange, request)
    case 'upload-status':
    case 'upload-patch':
    case 'upload-put':
    case 'upload-cancel':
      return answerSessionRequest(region, exchange, request)
    case 'tag-list':
    case 'referrers':
    case 'manifest-get':
    case 'manifest-put':
    case 'manifest-delete':
    case 'blob-get':
    case 'blob-delete':
    case 'upload-start':
      return answerRepositoryRequest(region, exchange, request)
  }
}

async function answerRepositoryRequest(
  region: ServedRegion,
  exchange: Exchange,
  request: Exclude<RepositoryRequest, SessionRequest>,
): Promise<Answer> {
  const { repository } = request
  const action = ACTIONS[request.kind]
  const scope =
    request.kind === 'upload-start'
      ? mountScope(repository, request.from)
      : repositoryScope(repository, action)
  const principal = await authenticate(region, exchange, scope)
  const grant = await authorize(region, principal, repository, action, { scope })
  const connected = await findConnectedRepository(region, request, grant)
  const answer =
    connected === null
      ? await answerGranted(region, exchange, request, grant)
      : await answerConnected(region, exchange, request, connected, grant)
  return BULK.has(request.kind) ? answer : withKeyExpiry(answer, principal, region.clock.nowMs())
}

/** Requests about what a connected registry has. The others were refused when it was found. */
function answerConnected(
  region: ServedRegion,
  exchange: Exchange,
  request: Exclude<RepositoryRequest, SessionRequest>,
  connected: ConnectedRepository,
  grant: Grant,
): Promise<Answer> {
  switch (request.kind) {
    case 'manifest-get':
      return getConnectedManifest(region, exchange, request, connected, grant)
    case 'blob-get':
      return getConnectedBlob(region, exchange, request, connected, grant)
    case 'tag-list':
      return answerConnectedTagList(region, request, connected, grant)
    case 'referrers':
      return answerConnectedReferrers(region, request, connected, grant)
    case 'manifest-put':
    case 'manifest-delete':
    case 'blob-delete':
    case 'upload-start':
      throw new OciError('UNSUPPORTED', 'what is pulled through a connected registry cannot be changed')
  }
}

function answerGranted(
  region: ServedRegion,
  exchange: Exchange,
  request: Exclude<RepositoryRequest, SessionRequest>,
  grant: Grant,
): Answer | Promise<Answer> {
  switch (request.kind) {
    case 'manifest-get':
      return getManifest(region, exchange, request, grant)
    case 'manifest-put':
      return putManifest(region, exchange, request, grant)
    case 'manifest-delete':
      return removeManifest(region, exchange, request, grant)
    case 'blob-get':
      return getBlob(region, exchange, request, grant)
    case 'blob-delete':
      return removeBlob(region, exchange, request, grant)
    case 'upload-start':
      return startUpload(region, exchange, request, grant)
    case 'tag-list':
      return answerTagList(region, request, grant)
    case 'referrers':
      return answerReferrers(region, request, grant)
  }
}

/**
 * Requests about a running upload. The session is looked at before authorization, because a token that has expired
 * may go on with its own key's session; what is not the caller's own does not exist for it.
 */
async function answerSessionRequest(
  region: ServedRegion,
  exchange: Exchange,
  request: SessionRequest & RepositoryRequest,
): Promise<Answer> {
  const { repository } = request
  const action = ACTIONS[request.kind]
  const principal = await authenticate(region, exchange, repositoryScope(repository, action))
  const session = await region.sessions.load(request.sessionId)
  const isOwn = session !== null && principal.kind === 'key' && session.credential_id === principal.keyId
  const grant = await authorize(region, principal, repository, action, { ownRunningUpload: isOwn })
  const isExpired = session !== null && session.expires_at <= region.clock.nowMs()
  if (session === null || isExpired || !isOwnSession(session, repository, grant)) {
    throw new OciError('BLOB_UPLOAD_UNKNOWN')
  }
  await findConnectedRepository(region, request, grant)
  switch (request.kind) {
    case 'upload-patch':
      return patchUpload(region, exchange, request, grant, session)
    case 'upload-put':
      return putUpload(region, exchange, request, grant, session)
    case 'upload-status':
      return answerUploadStatus(request, session)
    case 'upload-cancel':
      return cancelUpload(region, session)
  }
}

/**
 * `?ns=` names the registry that the client means ("Registry Proxying" of the distribution spec). Berth serves no
 * other registry's content, so it answers to its own host only, and stays silent for any other.
 */
function withNamespace(region: ServedRegion, request: RegistryRequest, answer: Answer): Answer {
  const { host } = region.region
  if (request.ns === null || request.ns.toLowerCase() !== host) return answer
  return { ...answer, headers: { ...answer.headers, 'OCI-Namespace': host } }
}
