import { loadConfig } from '../config/config.ts'
import { ConfigError } from '../config/config.ts'
import { openBlobStores } from '../drivers.ts'
import { broken, type Check, fine } from './check.ts'
import { checkCertificate, checkConsole, checkHost } from './hosts.ts'
import { checkBlobStore, checkDataDir, checkPostgres, checkRootKeyFile, checkSqlite } from './storage.ts'

/**
 * Looks at everything that an installation needs, from the machine that it runs on and with its settings: works whether
 * or not the server runs, and changes nothing. `onCheck` is called with each finding as it comes. Throws only what is
 * wrong with this program itself.
 */
export async function examineInstallation(
  env: NodeJS.ProcessEnv,
  onCheck: (check: Check) => void,
): Promise<readonly Check[]> {
  const checks: Check[] = []
  const add = (found: readonly Check[]): void => {
    for (const check of found) onCheck(check)
    checks.push(...found)
  }
  const config = readConfig(env, add)
  if (config === null) return checks
  const now = Date.now
  const isEmbedded = config.databaseUrl === null
  if (isEmbedded) add(await checkDataDir(config))
  add(await checkRootKeyFile(config))
  add(config.databaseUrl === null ? await checkSqlite(config) : await checkPostgres(config.databaseUrl, now))
  const openBlobs = await openBlobStores(config)
  for (const { id } of config.regions) {
    const blobs = await openBlobs(id)
    add(await checkBlobStore(id, blobs))
    await blobs.close()
  }
  add(await checkCertificate(config, now()))
  for (const { host } of config.regions) add(await checkHost(host, config, now))
  if (config.registryHost !== null) add(await checkHost(config.registryHost, config, now))
  if (config.role !== 'region') add(await checkConsole(config))
  return checks
}

function readConfig(env: NodeJS.ProcessEnv, add: (found: readonly Check[]) => void) {
  try {
    const config = loadConfig(env, process.cwd())
    add([fine('configuration', `${config.regions.length} regions, no mistakes.`)])
    return config
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const nextStep = 'See docs/reference/configuration.md.'
    add(error.mistakes.map((mistake) => broken('configuration', `${mistake}.`, nextStep)))
    return null
  }
}
