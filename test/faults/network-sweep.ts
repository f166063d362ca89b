import { startBerth } from '../support/berth.ts'
import { stackEnvironment } from '../support/stack.ts'
import type { FaultInjector } from './fault-injector.ts'
import { startPostgresFaults } from './postgres-faults.ts'
import { startS3Faults } from './s3-faults.ts'
import type { SweepSubject } from './sweep.ts'
import { gcSweepEnvironment } from './sweep-gc.ts'

const faultsPerRestart = 15

/** A Berth on PostgreSQL and an object store, with a proxy that can spoil what passes to one of them. */
export async function startNetworkSweep(
  spoiled: 'postgres' | 's3',
  what: 'push' | 'gc',
  report: (line: string) => void,
): Promise<SweepSubject<string> & AsyncDisposable> {
  await using cleanup = new AsyncDisposableStack()
  const services = await stackEnvironment('postgres-s3')
  const { injector, env } =
    spoiled === 's3' ? await spoilS3(services, cleanup) : await spoilPostgres(services, cleanup)
  const berth = await startBerth({
    stack: 'postgres-s3',
    env: {
      ...env,
      BERTH_DISK_RESERVE: '0',
      BERTH_GC_INTERVAL: '24h',
      ...(what === 'gc' ? gcSweepEnvironment : {}),
    },
  })
  cleanup.use(berth)
  const running = cleanup.move()
  return {
    berth,
    injector,
    readsGoOn: false,
    faultsPerRestart,
    report,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

type Spoiled = { injector: FaultInjector; env: Record<string, string> }

async function spoilS3(services: Record<string, string>, cleanup: AsyncDisposableStack): Promise<Spoiled> {
  const faults = cleanup.use(await startS3Faults(services['BERTH_S3_ENDPOINT'] as string))
  return { injector: anyKind(faults), env: { ...services, BERTH_S3_ENDPOINT: faults.endpoint } }
}

async function spoilPostgres(
  services: Record<string, string>,
  cleanup: AsyncDisposableStack,
): Promise<Spoiled> {
  const url = new URL(services['BERTH_DATABASE_URL'] as string)
  const faults = cleanup.use(await startPostgresFaults(Number(url.port)))
  url.port = String(faults.port)
  return { injector: anyKind(faults), env: { ...services, BERTH_DATABASE_URL: url.href } }
}

/** The same injector for callers that choose among its own `kinds` only. */
function anyKind<Kind extends string>(injector: FaultInjector<Kind>): FaultInjector {
  return injector as unknown as FaultInjector
}
