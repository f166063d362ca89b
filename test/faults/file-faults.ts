import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { onProcessEnd, runCommand, temporaryFolder } from '../support/process.ts'
import { requireTools } from '../support/tools.ts'
import type { FaultInjector } from './fault-injector.ts'

export const fileFaultKinds = ['EIO', 'ENOSPC', 'short write'] as const
export type FileFaultKind = (typeof fileFaultKinds)[number]

/** One line of the log: what was done to which path below the folder, or the status of an HTTP answer. */
export type FileEvent = {
  operation: 'write' | 'sync' | 'truncate' | 'rename' | 'unlink' | 'mkdir' | 'create' | 'answer'
  result: string
  path: string
}

/** Faults of the file system under a process, by a library that is loaded before libc. */
export type FileFaults = FaultInjector<FileFaultKind> & {
  /** For the process. */
  env: Record<string, string>
  /** Where the log ends now. */
  position(): number
  /** What happened since a position. */
  eventsSince(position: number): FileEvent[]
  remove(): void
}

// The page that the library and this file share; kept in step with fault-shim.c.
const page = { armed: 0, persistent: 4, kind: 8, spoiled: 12, target: 16, operations: 24, sizeBytes: 4096 }

/** Compiles the library and prepares faults for files below `folder`. */
export async function prepareFileFaults(folder: string): Promise<FileFaults> {
  const temporary = temporaryFolder('file-faults')
  const library = join(temporary.path, 'fault-shim.so')
  const source = join(import.meta.dirname, 'fault-shim.c')
  const { gcc } = await requireTools('gcc')
  await runCommand(gcc, ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', library, source, '-ldl'])
  const control = join(temporary.path, 'control')
  const log = join(temporary.path, 'log')
  writeFileSync(control, Buffer.alloc(page.sizeBytes))
  writeFileSync(log, '')
  const root = realpathSync(folder)
  const file = openSync(control, 'r+')
  const close = (): void => closeSync(file)
  const forget = onProcessEnd(close)
  const set = (at: number, bytes: Buffer): void => void writeSync(file, bytes, 0, bytes.length, at)
  const eventsSince = (position: number): FileEvent[] =>
    readFileSync(log).subarray(position).toString().split('\n').slice(0, -1).map(parseEvent(root))
  let armedAt = 0
  return {
    kinds: fileFaultKinds,
    env: { LD_PRELOAD: library, FAULT_ROOT: root, FAULT_CONTROL: control, FAULT_LOG: log },
    arm(fault) {
      armedAt = statSync(log).size
      set(page.armed, u32(0))
      set(page.persistent, u32(fault?.persistent ? 1 : 0))
      set(page.kind, u32(fault === null ? 0 : fileFaultKinds.indexOf(fault.kind)))
      set(page.spoiled, u32(0))
      set(page.target, u64(fault?.n ?? 0))
      set(page.operations, u64(0))
      if (fault !== null) set(page.armed, u32(1))
    },
    disarm() {
      set(page.armed, u32(0))
      const bytes = Buffer.alloc(32)
      readSync(file, bytes, 0, bytes.length, 0)
      return {
        operations: Number(bytes.readBigUInt64LE(page.operations)),
        spoiled: bytes.readUInt32LE(page.spoiled),
      }
    },
    describe: () =>
      eventsSince(armedAt)
        .filter(({ operation, result }) => operation !== 'answer' && result !== 'ok')
        .slice(0, 3)
        .map(({ operation, result, path }) => `${operation} ${result} ${path}`)
        .join(', '),
    position: () => statSync(log).size,
    eventsSince,
    remove() {
      forget()
      close()
      temporary.remove()
    },
  }
}

function parseEvent(root: string): (line: string) => FileEvent {
  return (line) => {
    const [operation = '', result = '', ...path] = line.split(' ')
    return {
      operation: operation as FileEvent['operation'],
      result,
      path: path.join(' ').replace(`${root}/`, ''),
    }
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
