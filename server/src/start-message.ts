import type { Config } from './config/config.ts'
import type { FirstProject } from './control/installation/first-project.ts'

/** What `berth serve` prints at every start after the first. */
export function describeStart(config: Config): string {
  const lines = ['', 'Berth is running.', '']
  if (config.role !== 'region') lines.push(`  Console    ${config.consoleUrl}`)
  if (config.role !== 'control') {
    for (const region of config.regions) lines.push(`  Registry   ${region.host}  (region ${region.name})`)
    if (config.registryHost !== null)
      lines.push(`  Registry   ${config.registryHost}  (home region of each project)`)
  }
  return `${[...lines, '', ''].join('\n')}`
}

/**
 * What `berth serve` prints at the first start, and never again: the secrets that were made, and commands that work as they
 * are. The key goes through standard input, so that it is not readable in the process list.
 */
export function describeFirstStart(
  config: Config,
  made: { operatorToken: string | null; setupToken: string },
  project: FirstProject | null,
): string {
  const lines = [
    describeStart(config).trimEnd(),
    '',
    `  Set-up     ${config.consoleUrl}/setup?token=${made.setupToken}`,
    '             (makes your account; works once)',
  ]
  if (made.operatorToken !== null) {
    lines.push(
      '',
      '  Operator token, for "npm run berth -- login --token" — shown only now, keep it:',
      `  ${made.operatorToken}`,
    )
  }
  if (project !== null) lines.push('', ...firstPush(config, project))
  return `${[...lines, '', ''].join('\n')}`
}

function firstPush(config: Config, { namespace, key }: FirstProject): string[] {
  const host = config.regions[0]?.host ?? ''
  return [
    `A first project, "${namespace}", is ready. Its API key is shown only now. Push an image:`,
    '',
    `  echo ${key} | docker login ${host} -u api --password-stdin`,
    '  docker pull hello-world',
    `  docker tag hello-world ${host}/${namespace}/hello-world`,
    `  docker push ${host}/${namespace}/hello-world`,
    '',
    `Any image that "docker images" lists will do in place of hello-world. Stop with Ctrl+C; data is in ${config.dataDir}.`,
  ]
}
