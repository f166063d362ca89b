// @tier full
// @needs docker, podman, buildah, skopeo, openssl, curl, jq
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { makeCertificate } from '../support/certificate.ts'
import { type CommandResult, runCommand, temporaryFolder } from '../support/process.ts'
import { readImage } from '../support/read-image.ts'
import { type Dockerd, startDockerd } from '../support/servers/dockerd.ts'
import {
  type JobClaims,
  type OidcIssuer,
  type OidcIssuers,
  startOidcIssuers,
} from '../support/servers/oidc-issuer.ts'
import { type Podman, startPodman } from '../support/servers/podman.ts'
import { findTool } from '../support/tools.ts'
import { type Berth, startBerth } from '../support/berth.ts'

/*
 * Jobs of CI services: the shell lines of every snippet, run as the service runs them, with tokens of real OpenID
 * providers that have the claims of GitHub, GitLab, CircleCI and Jenkins.
 */

const GITHUB = '/_services/token'
const GITLAB = ''
const CIRCLECI = '/org/0fa1c2d3-0000-4000-8000-000000000001'
const JENKINS = '/jenkins/oidc'
const CIRCLECI_PROJECT = '0fa1c2d3-0000-4000-8000-000000000002'
const COMMIT = '4ab1c0ffee5d2e8b0f6a7d3c9e1f2a3b4c5d6e7f'
const ORIGIN = 'https://berth.example'
const AUDIENCE = `${ORIGIN}/acme`

const repository = join(import.meta.dirname, '..', '..')
const folder = temporaryFolder('ci')
const context = join(folder.path, 'context')
const bin = join(folder.path, 'bin')
let berth: Berth
let oidc: OidcIssuers
let engine: Dockerd
let tools: Podman
let key = ''
const rules = new Map<string, string>()

before(async () => {
  const certificate = await makeCertificate(join(folder.path, 'tls'), 'issuer')
  oidc = await startOidcIssuers({
    certificate,
    paths: [GITHUB, GITLAB, CIRCLECI, JENKINS],
    audiences: [AUDIENCE, 'https://else.example'],
  })
  berth = await startBerth({
    env: {
      BERTH_CONSOLE_URL: ORIGIN,
      BERTH_OUTGOING_CA_FILE: certificate.certFile,
      BERTH_OUTGOING_ALLOW: '127.0.0.1',
    },
  })
  const [dockerd, podman] = await Promise.all([
    startDockerd(),
    startPodman({ insecureRegistries: [berth.registryHost] }),
    berth.createProject('acme'),
  ])
  engine = dockerd
  tools = podman
  key = (await berth.createKey('acme')).key
  mkdirSync(context)
  mkdirSync(bin)
  writeFileSync(join(context, 'hello'), 'hello\n')
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\n')
  // What CircleCI's machines have: `circleci run oidc get --claims '{"aud":"…"}'` writes a token.
  writeFileSync(
    join(bin, 'circleci'),
    `#!/bin/sh
audience=$(printf '%s' "$5" | jq -er .aud)
curl -fsS -G -H "Authorization: bearer $TEST_TOKEN" --data-urlencode "audience=$audience" "$TEST_URL" | jq -er .value
`,
  )
  // This buildah signs in to plain HTTP only when it is told so each time, whatever its configuration says.
  writeFileSync(
    join(bin, 'buildah'),
    `#!/bin/bash\nexec ${findTool('buildah')} "$1" --tls-verify=false "${'$'}{@:2}"\n`,
  )
  writeFileSync(
    join(bin, 'berth'),
    `#!/bin/sh\nexec ${process.execPath} ${join(repository, 'cli', 'bin', 'berth.js')} "$@"\n`,
  )
  for (const command of ['circleci', 'buildah', 'berth']) chmodSync(join(bin, command), 0o755)
})

after(async () => {
  await engine?.stop()
  await tools?.stop()
  await berth?.[Symbol.asyncDispose]()
  await oidc?.stop()
  folder.remove()
})

const JOBS: Readonly<Record<string, { path: string; claims: JobClaims; env: Record<string, string> }>> = {
  github: {
    path: GITHUB,
    env: { GITHUB_SHA: COMMIT },
    claims: {
      sub: 'repo:octo@1/web@4711:ref:refs/heads/main',
      repository: 'octo/web',
      repository_id: '4711',
      repository_owner: 'octo',
      repository_owner_id: '1',
      ref: 'refs/heads/main',
      ref_type: 'branch',
      ref_protected: 'true',
      sha: COMMIT,
      event_name: 'push',
      actor: 'mona',
      run_id: '8122',
      run_attempt: '1',
      workflow: 'Push image',
      workflow_ref: 'octo/web/.github/workflows/push-image.yml@refs/heads/main',
      runner_environment: 'github-hosted',
    },
  },
  gitlab: {
    path: GITLAB,
    env: { CI_COMMIT_SHA: COMMIT },
    claims: {
      sub: 'project_path:group/web:ref_type:branch:ref:main',
      namespace_id: '72',
      namespace_path: 'group',
      project_id: '20',
      project_path: 'group/web',
      user_id: '1',
      user_login: 'mona',
      user_access_level: 'owner',
      pipeline_id: '574',
      pipeline_source: 'push',
      job_id: '302',
      ref: 'main',
      ref_type: 'branch',
      ref_protected: 'true',
      runner_id: 1,
      runner_environment: 'gitlab-hosted',
      sha: COMMIT,
    },
  },
  circleci: {
    path: CIRCLECI,
    env: { CIRCLE_SHA1: COMMIT },
    claims: {
      sub: `org/0fa1c2d3-0000-4000-8000-000000000001/project/${CIRCLECI_PROJECT}/user/u/vcs-origin/github.com/octo/web/vcs-ref/refs/heads/main`,
      'oidc.circleci.com/project-id': CIRCLECI_PROJECT,
      'oidc.circleci.com/context-ids': ['0fa1c2d3-0000-4000-8000-000000000003'],
      'oidc.circleci.com/vcs-origin': 'github.com/octo/web',
      'oidc.circleci.com/vcs-ref': 'refs/heads/main',
      'oidc.circleci.com/ssh-rerun': false,
    },
  },
  jenkins: {
    path: JENKINS,
    env: { GIT_COMMIT: COMMIT },
    claims: { sub: 'https://jenkins.example/job/web/', build_number: 7, berth_job: 'web' },
  },
}

test('rules for jobs of each service are added', async () => {
  const added: [string, string, Record<string, string>][] = [
    ['gitlab', 'gitlab_ci', { project_id: '20', ref: 'main', ref_type: 'branch', ref_protected: 'true' }],
    ['circleci', 'circleci', { 'oidc.circleci.com/project-id': CIRCLECI_PROJECT }],
    ['jenkins', 'custom', { berth_job: 'web' }],
  ]
  for (const [name, provider, conditions] of added) {
    const body = { name, provider, issuer: issuerOf(name).url, conditions }
    const answer = await berth.api('POST', '/projects/acme/trust-rules', body)
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    rules.set(name, (answer.body as { id: string }).id)
  }
  const conditions = ['--condition', 'repository_id=4711', '--condition', 'ref=refs/heads/main']
  const options = ['--provider', 'github', '--issuer', issuerOf('github').url, ...conditions]
  const { stdout } = await cli(['ci', 'rules', 'add', 'github', ...options, '--json'])
  rules.set('github', (JSON.parse(stdout) as { id: string }).id)
  const listed = await cli(['ci', 'rules', 'list'])
  for (const [name, id] of rules) assert.match(listed.stdout, new RegExp(`${id} +${name} `))
})

test('the command line prints the file to paste, and what to do once besides', async () => {
  const printed = await cli(['ci', 'snippet', '--provider', 'github', '--image', 'web'])
  assert.equal(printed.stdout, (await snippet('github', 'keyless', 'web')).content)
  assert.match(printed.stderr, /push-image\.yml\. Once before:/)
  assert.match(printed.stderr, /berth ci rules add "CI" --project acme --provider github/)
})

for (const provider of ['github', 'gitlab', 'circleci', 'jenkins'] as const) {
  for (const mode of ['keyless', 'key'] as const) {
    test(`the lines for ${provider}, ${mode}, sign in, build and push`, async () => {
      const path = `ci/${provider}-${mode}`
      const { shell, image } = await snippet(provider, mode, path)
      assert.equal(image, `${berth.registryHost}/acme/${path}`)
      await runJob(provider, shell, mode === 'key' ? { BERTH_KEY: key } : await jobToken(provider))
      const stored = await readImage(
        {
          url: berth.registryUrl,
          repository: `acme/${path}`,
          authorization: `Basic ${Buffer.from(`api:${key}`).toString('base64')}`,
        },
        COMMIT,
      )
      assert.ok(stored.blobs.length >= 2)
    })
  }
}

test('the audit log shows the rule and the job of a push', async () => {
  const { body } = await berth.api('GET', '/projects/acme/audit-events?limit=200')
  const { items } = body as {
    items: { action: string; actor: string; target: string; detail: Record<string, string> }[]
  }
  const push = items.find(
    ({ action, target }) => action === 'manifest.push' && target.startsWith('ci/github-keyless'),
  )
  assert.match(push?.actor ?? '', new RegExp(`^${rules.get('github')}/[0-9a-z]{8}$`))
  const taken = items.filter(({ action, actor }) => actor === push?.actor && action.startsWith('ci_token.'))
  assert.deepEqual(
    taken.map(({ action }) => action),
    ['ci_token.exchange'],
  )
  assert.equal(taken[0]?.detail['repository'], 'octo/web')
  assert.equal(taken[0]?.detail['run_id'], '8122')
  assert.equal(taken[0]?.detail['ref'], 'refs/heads/main')
})

test('an exchange takes a token once, for one project, and answers as RFC 8693 says', async () => {
  const token = await issuerOf('github').token(AUDIENCE, claimsOf('github'))
  const first = await exchange(token, { audience: 'acme' })
  assert.equal(first.status, 200)
  const { access_token: session, ...answer } = first.body
  assert.deepEqual(answer, {
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: 900,
    username: 'ci',
  })
  const catalog = await fetch(`${berth.registryUrl}/v2/_catalog`, {
    headers: { authorization: `Bearer ${String(session)}` },
  })
  assert.equal(catalog.status, 200)
  const again = await exchange(token, { audience: 'acme' })
  assert.equal(again.status, 401)
  assert.match(JSON.stringify(again.body), /used already/)
  const fresh = () => issuerOf('github').token(AUDIENCE, claimsOf('github'))
  const narrow = await exchange(await fresh(), { scope: 'repository:acme/ci/github-key:pull,delete' })
  assert.equal(narrow.body['scope'], 'repository:acme/ci/github-key:pull')
  const garbled = await exchange(await fresh(), { scope: 'everything' })
  assert.equal(garbled.body['scope'], '')
  const authorization = `Bearer ${String(garbled.body['access_token'])}`
  const listed = await fetch(`${berth.registryUrl}/v2/_catalog`, { headers: { authorization } })
  assert.equal(listed.status, 401)
  assert.equal((await exchange(await fresh(), { audience: 'nobody' })).status, 401)
  assert.equal(
    (await exchange(await fresh(), { subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' })).status,
    400,
  )
  assert.equal((await exchange('', {})).status, 400)
})

test('a job that no rule fits is told why, in words that docker shows', async () => {
  const refused: [string, JobClaims, RegExp][] = [
    [
      AUDIENCE,
      { ...claimsOf('github'), ref: 'refs/heads/try' },
      /asks for another ref than 'refs\/heads\/try'/,
    ],
    [
      AUDIENCE,
      { ...claimsOf('github'), repository_id: '4712' },
      /No trust rule of 'acme' fits .* repository_id '4712'/,
    ],
    ['https://else.example', claimsOf('github'), /asks for the audience 'https:\/\/berth.example\/acme'/],
    [AUDIENCE, { ...claimsOf('github'), event_name: 'pull_request_target' }, /code of a fork/],
  ]
  for (const [audience, claims, message] of refused) {
    const token = await issuerOf('github').token(audience, claims)
    const login = await engine.docker(['login', '-u', 'acme', '--password-stdin', berth.registryHost], {
      stdin: token,
      allowFailure: true,
    })
    assert.notEqual(login.code, 0)
    assert.match(login.stderr.replaceAll('"', "'"), message)
  }
  const { setup } = await snippet('github', 'keyless', 'x')
  assert.ok(setup.some((line) => line.startsWith('berth ci rules add ')))
})

test('podman and skopeo sign in with a CI token, too', async () => {
  const token = await issuerOf('gitlab').token(AUDIENCE, claimsOf('gitlab'))
  await tools.podman(['login', '-u', 'ci', '--password-stdin', '--tls-verify=false', berth.registryHost], {
    stdin: token,
  })
  await tools.podman(['pull', '--tls-verify=false', `${berth.registryHost}/acme/ci/gitlab-key:${COMMIT}`])
  const copy = `${berth.registryHost}/acme/ci/copied:1`
  await tools.skopeo([
    'copy',
    '--src-tls-verify=false',
    '--dest-tls-verify=false',
    `docker://${berth.registryHost}/acme/ci/gitlab-key:${COMMIT}`,
    `docker://${copy}`,
  ])
})

test('the shell lines of the guide work as they stand', async () => {
  const guide = readFileSync(join(repository, 'docs', 'guides', 'ci.md'), 'utf8')
  const blocks = [...guide.matchAll(/^```\n(.*?)^```$/gms)].map(([, block = '']) => block)
  assert.ok(blocks.length >= 6)
  mkdirSync(join(context, '.github', 'workflows'), { recursive: true })
  for (const block of blocks) {
    const here = block
      .replaceAll('https://registry.example', berth.registryUrl)
      .replaceAll('registry.example', berth.registryHost)
    const token = await issuerOf('github').token(AUDIENCE, claimsOf('github'))
    await runJob('guide', here.split('\n'), { ...cliEnvironment(), TOKEN: token })
  }
})

test('a rule that is switched off ends its jobs at once: logins, sessions and tokens', async () => {
  const { shell } = await snippet('circleci', 'keyless', 'ci/ended')
  const env = await jobToken('circleci')
  await runJob('circleci', shell, env)
  const session = await exchange(await issuerOf('circleci').token(AUDIENCE, claimsOf('circleci')), {})
  const bearer = { authorization: `Bearer ${String(session.body['access_token'])}` }
  assert.equal((await fetch(`${berth.registryUrl}/v2/_catalog`, { headers: bearer })).status, 200)
  const disabled = await cli(['ci', 'rules', 'update', rules.get('circleci') ?? '', '--disable'])
  assert.match(disabled.stdout, /In force everywhere/)
  assert.equal((await fetch(`${berth.registryUrl}/v2/_catalog`, { headers: bearer })).status, 401)
  const push = await runJob('circleci', shell.slice(-1), env, true)
  assert.notEqual(push.code, 0)
  assert.match(push.stderr, /unauthorized|denied|authentication required/)
  await cli(['ci', 'rules', 'remove', rules.get('jenkins') ?? '', '--yes'])
  const job = await runJob(
    'jenkins',
    (await snippet('jenkins', 'keyless', 'x')).shell,
    await jobToken('jenkins'),
    true,
  )
  assert.notEqual(job.code, 0)
  assert.match(job.stderr, /no trust rule names its issuer/)
})

test('jobs go on after a restart, and a token that was exchanged before stays used', async () => {
  const token = await issuerOf('gitlab').token(AUDIENCE, claimsOf('gitlab'))
  assert.equal((await exchange(token, {})).status, 200)
  await berth.restart()
  assert.equal((await exchange(token, {})).status, 401)
  assert.equal((await exchange(await issuerOf('gitlab').token(AUDIENCE, claimsOf('gitlab')), {})).status, 200)
})

function issuerOf(name: string): OidcIssuer {
  return oidc.issuers.get(JOBS[name]?.path ?? '') as OidcIssuer
}

function claimsOf(name: string): JobClaims {
  return JOBS[name]?.claims ?? {}
}

function cli(args: readonly string[]): Promise<CommandResult> {
  return berth.cli(args, { env: cliEnvironment() })
}

function cliEnvironment(): Record<string, string> {
  return { BERTH_TOKEN: berth.operatorToken, BERTH_CONSOLE_URL: berth.consoleUrl, BERTH_PROJECT: 'acme' }
}

async function snippet(provider: string, mode: string, image: string) {
  const query = new URLSearchParams({ provider, mode, image })
  const { status, body } = await berth.api('GET', `/projects/acme/ci/snippets?${query.toString()}`)
  assert.equal(status, 200, JSON.stringify(body))
  return body as { shell: string[]; image: string; setup: string[]; content: string }
}

/** What the service gives to a job that may ask for tokens. */
async function jobToken(name: string): Promise<Record<string, string>> {
  oidc.setJob(issuerOf(name), claimsOf(name))
  if (name === 'github') {
    return {
      ACTIONS_ID_TOKEN_REQUEST_URL: oidc.requestUrl,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: oidc.requestToken,
    }
  }
  if (name === 'circleci') return { TEST_URL: oidc.requestUrl, TEST_TOKEN: oidc.requestToken }
  return { BERTH_ID_TOKEN: await issuerOf(name).token(AUDIENCE, claimsOf(name)) }
}

/** Runs lines of a snippet in a checkout, with what a job's machine has. */
function runJob(
  name: string,
  shell: readonly string[],
  env: Record<string, string>,
  allowFailure = false,
): Promise<CommandResult> {
  return runCommand('bash', ['-e', '-o', 'pipefail', '-c', shell.join('\n')], {
    cwd: context,
    allowFailure,
    env: {
      ...tools.env,
      PATH: `${bin}:${process.env['PATH']}`,
      DOCKER_HOST: engine.host,
      DOCKER_CONFIG: join(folder.path, `docker-${name}`),
      DOCKER_BUILDKIT: '0',
      BUILDAH_ISOLATION: 'chroot',
      ...JOBS[name]?.env,
      ...env,
    },
  })
}

async function exchange(
  token: string,
  more: Record<string, string>,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${berth.registryUrl}/auth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      ...more,
    }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}
