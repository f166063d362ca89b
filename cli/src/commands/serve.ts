import { type Define, leaf } from '../command.ts'

/** `serve`: the server. Loaded only here, so that every other command starts without it. */
export const defineServe: Define = (parent, io) => {
  leaf(
    parent,
    'serve',
    'run the registry and the console; settings come from BERTH_… variables and berth.yaml',
  ).action(async () => {
    const { serve } = await import('@berth/server/main')
    process.exitCode = await serve({ ...io.env }, { stdout: io.stdout, stderr: io.stderr })
  })
}
