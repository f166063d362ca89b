import { startBerth } from '../support/berth.ts'
import { temporaryFolder } from '../support/process.ts'
import { type FileFaultKind, prepareFileFaults } from './file-faults.ts'
import type { SweepSubject } from './sweep.ts'
import { gcSweepEnvironment } from './sweep-gc.ts'
import { watchCommitOrder } from './watch-commit-order.ts'

const faultsPerRestart = 15

/** A Berth on files and SQLite whose file system can fail. */
export async function startFileSweep(
  what: 'push' | 'gc',
  report: (line: string) => void,
): Promise<SweepSubject<FileFaultKind> & AsyncDisposable> {
  await using cleanup = new AsyncDisposableStack()
  const data = temporaryFolder('sweep')
  cleanup.defer(() => data.remove())
  const injector = await prepareFileFaults(data.path)
  cleanup.defer(() => injector.remove())
  const berth = await startBerth({
    stack: 'sqlite-fs',
    dataDir: data.path,
    env: {
      ...injector.env,
      BERTH_DISK_RESERVE: '0',
      BERTH_GC_INTERVAL: '24h',
      // File operations that do not go through libc would be neither seen nor spoiled.
      UV_USE_IO_URING: '0',
      ...(what === 'gc' ? gcSweepEnvironment : {}),
    },
  })
  cleanup.use(berth)
  const running = cleanup.move()
  return {
    berth,
    injector,
    watcher: watchCommitOrder(injector),
    readsGoOn: true,
    faultsPerRestart,
    report,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
