#!/usr/bin/env -S node --max-semi-space-size=4
// A small young generation: what lives in it is short-lived, and its default size is a fifth of the server's memory.
//
// Plain JavaScript, so that the compile cache is in use before the first TypeScript file is loaded: then a start neither
// strips types nor compiles again what an earlier one did. The cache is kept beside the dependencies, whose owner is the
// only one who may write there; where it cannot be written, nothing is kept.
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Reads must not wait behind the fsyncs of uploads; Node's own default is four threads. Read by libuv at its first use.
process.env['UV_THREADPOOL_SIZE'] ??= '8'

enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/berth', import.meta.url)))
await import('../src/main.ts')
