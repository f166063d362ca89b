import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { portAnswers, startProcess, temporaryFolder, waitUntilReady } from '../process.ts'
import { requireTools } from '../tools.ts'

export type NginxOptions = {
  /** What stands inside `http { … }`; `include /absolute/path.conf;` takes a file as it is. */
  http: string
  /** A port that the configuration listens on; the server is ready when it answers. */
  port: number
  /** The user of the worker processes, when this runs as root. Default: root, which may read any blob folder. */
  user?: string
}

export type Nginx = AsyncDisposable & {
  port: number
  pid: number
  stop(): Promise<void>
  /** Standard error: nginx's error log. */
  log(): string
}

/** Starts nginx with a configuration, its temporary files in a folder of its own; ready when it returns. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const { nginx } = await requireTools('nginx')
  const folder = temporaryFolder('nginx')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  for (const name of temporary) mkdirSync(join(folder.path, name))
  const configFile = join(folder.path, 'nginx.conf')
  writeFileSync(
    configFile,
    `daemon off;
${process.getuid?.() === 0 ? `user ${options.user ?? 'root'};` : ''}
pid ${folder.path}/nginx.pid;
error_log stderr info;
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder.path}/${name};`).join('\n  ')}
  ${options.http}
}
`,
  )
  const server = await startProcess(nginx, ['-p', folder.path, '-e', 'stderr', '-c', configFile], {
    cwd: folder.path,
  })
  await waitUntilReady(server, () => portAnswers(options.port))
  const stop = async (): Promise<void> => {
    await server.stop('SIGQUIT')
    folder.remove()
  }
  return {
    port: options.port,
    pid: server.pid,
    stop,
    log: () => server.output(),
    [Symbol.asyncDispose]: stop,
  }
}
