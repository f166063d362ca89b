const { serve } = await import('@berth/server/main')
process.exitCode = await serve(process.env, process)
