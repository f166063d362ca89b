import { Writable } from 'node:stream'
import { pino, type Logger as PinoLogger } from 'pino'

/**
 * The log: constant messages, fields apart. JSON lines, except on a terminal, where a person reads along.
 * Secrets must not get here at all; `redact` is the second line of defence.
 */
export type Logger = PinoLogger

/** Field names that never reach an output, at any of the first two levels. */
const SECRET_FIELDS = [
  'authorization',
  'password',
  'secret',
  'token',
  'key',
  'cookie',
  'refreshToken',
  'operatorToken',
]

/** Makes the process's logger. `terminal` chooses short lines for people instead of JSON. */
export function createLogger(options: {
  level: string
  terminal: boolean
  output: NodeJS.WritableStream
}): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '(secret)' },
    },
    options.terminal ? terminalStream(options.output) : options.output,
  )
}

/** Turns pino's JSON lines into `12:30:05 warn  message field=value`. */
function terminalStream(output: NodeJS.WritableStream): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      output.write(terminalLine(chunk.toString('utf8')))
      done()
    },
  })
}

function terminalLine(line: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>
  const details = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const error = err as { message?: string; stack?: string } | undefined
  if (error !== undefined) details.push(`error=${JSON.stringify(error.message ?? String(err))}`)
  const clock = String(time).slice(11, 19)
  return `${[clock, String(level).padEnd(5), msg, ...details].join(' ')}\n`
}
