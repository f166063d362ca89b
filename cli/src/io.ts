/** Where a command reads and writes, so that tests and the documentation run it without a terminal. */
export interface Io {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly env: Readonly<Record<string, string | undefined>>
  nowMs(): number
  /** Waits between two polls; left out: by the clock. */
  readonly pause?: (ms: number) => Promise<unknown>
}

/** Whether a person can be asked: both ends are a terminal. */
export function isInteractive(io: Io): boolean {
  return io.stdin.isTTY === true && io.stderr.isTTY === true && io.env['CI'] === undefined
}

/** Width for tables; text that goes to a file or a pipe is not cut. */
export function outputWidth(io: Io): number | null {
  if (io.stdout.isTTY !== true) return null
  // A terminal that does not know its size says 0.
  return io.stdout.columns > 0 ? io.stdout.columns : FALLBACK_WIDTH
}

const FALLBACK_WIDTH = 80

/** Writes a line of the result. */
export function print(io: Io, line: string): void {
  io.stdout.write(`${line}\n`)
}

/** Writes a line beside the result: it never gets into a pipe. */
export function note(io: Io, line: string): void {
  io.stderr.write(`${line}\n`)
}
