import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Config } from './config/config.ts'
import { bearerToken } from './control/operator-auth.ts'
import type { ControlRuntime } from './control/runtime.ts'
import { createHealthHandler, type ReadinessCheck } from './http/health.ts'
import { type Listener, startListener } from './http/listener.ts'
import type { Refusal, RefusalAnswer } from './http/refusal.ts'
import { chooseRegion } from './http/region-router.ts'
import { chooseHomeRegion } from './http/regionless-host.ts'
import type { ControlSchema } from './metastore/control-schema.ts'
import type { Database } from './metastore/database.ts'
import { renderRegistryRefusal } from './registry/http-refusal.ts'
import type { ProcessParts, RunningRegion } from './start-region.ts'

/** What listeners answer for. */
export interface Served {
  readonly regions: readonly RunningRegion[]
  readonly control: ControlRuntime | null
  readonly controlDb: Database<ControlSchema>
}

/** Listens for the console and the regions; they drain together in the end. Throws `ListenError`. */
export async function listen(
  shared: ProcessParts,
  served: Served,
  cleanup: AsyncDisposableStack,
): Promise<void> {
  const { config, onStep, log } = shared
  let draining = false
  const health = createHealthHandler({
    checks: readinessChecks(served),
    metrics: shared.metrics,
    isOperator: async (request: IncomingMessage) => {
      const token = bearerToken(request.headers.authorization)
      return token !== null && shared.installation.operatorAuth.isOperatorToken(token)
    },
    allow: config.metricsAllow,
    isProxy: (address) => shared.trustedProxies.contains(address),
    isDraining: () => draining,
  })
  const tls =
    config.tlsCertFile === null || config.tlsKeyFile === null
      ? null
      : { certFile: config.tlsCertFile, keyFile: config.tlsKeyFile }
  const listeners: Listener[] = []
  const add = async (name: string, address: { host: string; port: number }, handler: RequestListener) => {
    onStep(`listening on ${address.host}:${address.port}`)
    const renderRefusal = name === 'console' ? renderForConsole : renderRegistryRefusal
    const options = { name, ...address, tls, log, renderRefusal, handler: withHealth(health, handler) }
    listeners.push(await startListener(options))
  }
  // All listeners drain together: the last thing to start is the first to stop.
  cleanup.defer(async () => {
    draining = true
    await Promise.all(listeners.map((listener) => listener.stop(config.drainMs)))
  })
  if (served.control !== null) {
    const console = openConsoleLazily(served.control)
    cleanup.defer(() => console.close())
    await add('console', config.consoleAddr, console.handler)
  }
  await listenForRegions(served.regions, config, add)
}

/** Loaded by the first use, like the console itself. */
async function renderForConsole(refusal: Refusal): Promise<RefusalAnswer> {
  const { renderConsoleRefusal } = await import('./control/http-refusal.ts')
  return renderConsoleRefusal(refusal)
}

/**
 * The console, loaded by its first request: its web framework and schemas are a fifth of the idle memory and most of the
 * time of a start, and a process that only serves pushes and pulls never needs them.
 */
function openConsoleLazily(runtime: ControlRuntime): {
  handler: RequestListener
  close: () => Promise<void>
} {
  const open = async () => {
    const { createConsole } = await import('./control/console.ts')
    return createConsole(runtime)
  }
  let opened: ReturnType<typeof open> | null = null
  return {
    handler: (request, response) => {
      opened ??= open()
      opened.then(
        (console) => console.routing(request, response),
        (error: unknown) => {
          // The next request tries again.
          opened = null
          runtime.log.error({ err: error }, 'the console could not be loaded')
          response.destroy()
        },
      )
    },
    close: async () => {
      if (opened !== null) await (await opened).close()
    },
  }
}

async function listenForRegions(
  regions: readonly RunningRegion[],
  config: Config,
  add: (name: string, address: { host: string; port: number }, handler: RequestListener) => Promise<void>,
): Promise<void> {
  for (const region of regions) {
    if (region.handler !== null && region.setting.listen !== null)
      await add('registry', region.setting.listen, region.handler)
  }
  const sharing = regions.filter((region) => region.setting.listen === null && region.handler !== null)
  const everywhere = regions.filter((region) => region.handler !== null)
  if (everywhere.length === 0 || (sharing.length === 0 && config.registryHost === null)) return
  const byHost = sharing.length === 0 ? everywhere : sharing
  await add('registry', config.registryAddr, (request, response) => {
    if (config.registryHost === null || request.headers.host?.toLowerCase() !== config.registryHost) {
      chooseRegion(byHost, request)?.handler?.(request, response)
      return
    }
    chooseHomeRegion(everywhere, request).then(
      (region) => region?.sharedHandler?.(request, response),
      // It cannot be known where the project is at home: any region says that it is unavailable.
      () => everywhere[0]?.sharedHandler?.(request, response),
    )
  })
}

function withHealth(
  health: (request: IncomingMessage, response: ServerResponse) => boolean,
  handler: RequestListener,
): RequestListener {
  return (request, response) => {
    if (!health(request, response)) handler(request, response)
  }
}

function readinessChecks({ regions, controlDb }: Served): ReadinessCheck[] {
  return [
    { name: 'control database', check: () => unlessFull(controlDb.ping()) },
    ...regions.flatMap(({ id, storage }) => [
      { name: `region ${id} database`, check: () => unlessFull(storage.db.ping()) },
      { name: `region ${id} blob store`, check: () => unlessFull(storage.blobs.ping()) },
    ]),
  ]
}

/** A full disk refuses pushes with a message of its own. Pulls work, so the process must stay in the load balancer. */
async function unlessFull(ping: Promise<void>): Promise<void> {
  try {
    await ping
  } catch (error) {
    if ((error as { reason?: unknown }).reason !== 'full') throw error
  }
}
