import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ServerAdapter, Site } from './server.ts'

const USER = 'bench'
const PASSWORD = 'bench-password'
/** bcrypt of PASSWORD at cost 5, which is what `htpasswd -B` uses unless told otherwise. */
const PASSWORD_HASH = '$2y$05$lKuad0Hevo1pKfoseP9GLeyLv.Sh9qYCCyYHInPnKAefcoWqtLZCC'

/**
 * Debian's `docker-registry` on its filesystem driver, with the descriptor cache in memory and no access log: its
 * fastest ordinary configuration. With `htpasswd` every request carries Basic credentials, which it checks by bcrypt.
 */
export function dockerRegistry(options: { htpasswd: boolean }): ServerAdapter {
  const basic = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`
  return {
    id: options.htpasswd ? 'registry-htpasswd' : 'registry',
    whenMissing: 'on Debian and Ubuntu: apt-get install docker-registry',
    pagesTags: false,
    async configure(site) {
      const passwords = join(site.folder, 'htpasswd')
      if (options.htpasswd) await writeFile(passwords, `${USER}:${PASSWORD_HASH}\n`)
      await writeFile(configPath(site), configuration(site, options.htpasswd ? passwords : null))
    },
    command: (site) => ({
      file: 'docker-registry',
      argv: ['serve', configPath(site)],
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: site.folder },
    }),
    signIn: async () => async () => (options.htpasswd ? basic : null),
  }
}

function configPath(site: Site): string {
  return join(site.folder, 'config.yml')
}

function configuration(site: Site, htpasswdPath: string | null): string {
  const auth =
    htpasswdPath === null ? '' : `auth:\n  htpasswd:\n    realm: bench\n    path: ${htpasswdPath}\n`
  return `version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: ${join(site.folder, 'data')}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
http:
  addr: 127.0.0.1:${site.port}
${auth}`
}
