// @tier full
// @needs helm
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type CommandResult, runCommand, temporaryFolder } from '../support/process.ts'
import { readImage, resolveTag } from '../support/read-image.ts'
import { findTool } from '../support/tools.ts'
import { useBerth } from '../support/use-berth.ts'

const berth = useBerth()
const folder = temporaryFolder('helm')

before(async () => {
  await berth.start()
  const chart = join(folder.path, 'shop')
  mkdirSync(join(chart, 'templates'), { recursive: true })
  writeFileSync(
    join(chart, 'Chart.yaml'),
    'apiVersion: v2\nname: shop\nversion: 1.2.3+build.5\nappVersion: "7"\ndescription: a shop\n',
  )
  writeFileSync(join(chart, 'values.yaml'), 'replicas: 2\n')
  writeFileSync(
    join(chart, 'templates', 'map.yaml'),
    'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: shop\ndata:\n  replicas: "{{ .Values.replicas }}"\n',
  )
  await helm(['package', chart, '--destination', folder.path])
})

after(() => folder.remove())

test('registry login is checked at once', async () => {
  const refused = await helm(login(), { stdin: 'wrong', allowFailure: true })
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /401|unauthorized/i)
  const done = await helm(login(), { stdin: berth.key.key })
  assert.match(done.stdout + done.stderr, /Login Succeeded/)
})

test('a chart is pushed, shown, templated and pulled byte for byte', async () => {
  const packaged = join(folder.path, 'shop-1.2.3+build.5.tgz')
  const push = await helm(['push', '--plain-http', packaged, repository()])
  const digest = /Digest: (sha256:[0-9a-f]{64})/.exec(push.stdout + push.stderr)?.[1]
  // A tag cannot hold a plus sign: helm writes it as an underscore.
  const stored = await readImage(berth.source('charts/shop'), '1.2.3_build.5')
  assert.equal(digest, stored.digest)
  assert.equal(
    JSON.parse(stored.content.toString()).config.mediaType,
    'application/vnd.cncf.helm.config.v1+json',
  )

  const version = ['--version', '1.2.3+build.5', '--plain-http', `${repository()}/shop`]
  assert.match((await helm(['show', 'chart', ...version])).stdout, /description: a shop/)
  const rendered = await helm(['template', 'release', ...version.slice(0, 3), `${repository()}/shop`])
  assert.match(rendered.stdout, /replicas: "2"/)
  const target = join(folder.path, 'pulled')
  mkdirSync(target)
  await helm(['pull', ...version, '--destination', target])
  assert.deepEqual(readFileSync(join(target, 'shop-1.2.3+build.5.tgz')), readFileSync(packaged))
})

test('after registry logout nothing is pulled or pushed', async () => {
  await helm(['registry', 'logout', berth.host])
  const pull = await helm(['pull', '--plain-http', `${repository()}/shop`, '--version', '1.2.3+build.5'], {
    allowFailure: true,
  })
  assert.notEqual(pull.code, 0)
  const packaged = join(folder.path, 'shop-1.2.3+build.5.tgz')
  const push = await helm(['push', '--plain-http', packaged, `oci://${berth.host}/acme/refused`], {
    allowFailure: true,
  })
  assert.notEqual(push.code, 0)
  assert.match(push.stderr, /401|unauthorized/i)
  assert.equal(await resolveTag(berth.source('refused/shop'), '1.2.3_build.5'), null)
})

function repository(): string {
  return `oci://${berth.host}/acme/charts`
}

function login(): string[] {
  return ['registry', 'login', '--plain-http', '-u', 'api', '--password-stdin', berth.host]
}

function helm(
  args: readonly string[],
  options: { stdin?: string; allowFailure?: boolean } = {},
): Promise<CommandResult> {
  return runCommand(findTool('helm') as string, args, {
    ...options,
    cwd: folder.path,
    env: {
      ...process.env,
      HOME: folder.path,
      HELM_CACHE_HOME: join(folder.path, 'cache'),
      HELM_CONFIG_HOME: join(folder.path, 'config'),
      HELM_DATA_HOME: join(folder.path, 'data'),
    },
  })
}
