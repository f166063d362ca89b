// The reader of a pipe may go away early (`berth tags list web | head`): that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})

const args = process.argv.slice(2)

// The server's process does not carry the command line's libraries along.
if (args.length === 1 && args[0] === 'serve') {
  const { serve } = await import('@berth/server/main')
  process.exitCode = await serve(process.env, { stdout: process.stdout, stderr: process.stderr })
} else {
  const { run } = await import('./run.ts')
  process.exitCode = await run(args, {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    nowMs: () => Date.now(),
  })
}
