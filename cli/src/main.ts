#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// The sources are TypeScript: keeping what Node makes of them saves a third of a command's time. In a folder of the
// user's own, because whoever can write the cache decides what runs. Where it cannot be written there is none.
const cacheHome = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
enableCompileCache(join(cacheHome, 'berth', 'compile-cache'))

// The reader of a pipe may go away early (`berth tags list web | head`): that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})

const { run } = await import('./run.ts')
process.exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  nowMs: () => Date.now(),
})
