// @needs docker-registry, openssl
// @stacks sqlite-fs
// @tier full
/*
 * The lines of docs/guides, run as they stand against a running Berth with two regions. A line that is neither run nor
 * listed here with a reason fails.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Berth, startBerth } from '../support/berth.ts'
import { makeAuthority } from '../support/certificate.ts'
import { openBrowser } from '../support/console/browser.ts'
import { type GuideRun, guideLines, guidesFolder, runGuide, runShell } from '../support/guide.ts'
import { temporaryFolder, waitFor } from '../support/process.ts'
import { startDockerRegistry } from '../support/servers/docker-registry.ts'
import { forwardTo, type Recorder, startRecorder } from '../support/upstream/recorder.ts'
import { pushImage } from '../support/upstream/stand.ts'

const PASSWORD = 'correct horse battery staple'
const BY_DOCKER = 'docker itself pulls so in test/e2e/pull-through.test.ts'

/** Guides whose lines are run elsewhere, and where. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'ci.md': 'test/e2e/ci.test.ts',
  'housekeeping.md': 'cli/src/housekeeping.test.ts',
}
const HERE = [
  'audit.md',
  'doctor.md',
  'members-and-keys.md',
  'people.md',
  'pull-through.md',
  'regions.md',
  'registries-and-credentials.md',
  'third-party-registries.md',
  'webhooks.md',
]

const folder = temporaryFolder('guides')
const cleanup = new AsyncDisposableStack()
let berth: Berth
/** Stands for Docker Hub, GHCR and a registry of one's own. */
let upstream: Recorder
let receiver: Recorder

before(async () => {
  cleanup.defer(() => folder.remove())
  const authority = await makeAuthority(join(folder.path, 'authority'))
  const registry = cleanup.use(await startDockerRegistry())
  for (const [name, tag] of [
    ['library/alpine', 'latest'],
    ['library/alpine', '3.20'],
    ['yourname/yourimage', 'latest'],
    ['team/app', 'latest'],
  ] as const) {
    await pushImage(registry.url, name, tag, null)
  }
  upstream = cleanup.use(await startRecorder(await authority.issue(), forwardTo(registry.url)))
  receiver = cleanup.use(
    await startRecorder(await authority.issue(), (_request, response) => void response.writeHead(204).end()),
  )
  berth = cleanup.use(
    await startBerth({
      regions: ['eu', 'us'],
      env: {
        BERTH_OUTGOING_ALLOW: '127.0.0.1',
        BERTH_OUTGOING_CA_FILE: authority.caFile,
        BERTH_UPSTREAM_ENDPOINTS: `docker.io=${upstream.origin},ghcr.io=${upstream.origin}`,
      },
    }),
  )
})
after(() => cleanup.disposeAsync())

test('the lines of every guide are run, here or elsewhere', () => {
  const withLines = readdirSync(guidesFolder).filter((name) => guideLines(name).length > 0)
  assert.deepEqual(withLines.sort(), [...HERE, ...Object.keys(ELSEWHERE)].sort())
  for (const [guide, claimant] of Object.entries(ELSEWHERE)) {
    const text = readFileSync(join(guidesFolder, '..', '..', claimant), 'utf8')
    assert.ok(text.includes(guide), `${claimant} does not read ${guide}`)
  }
  const own = readFileSync(import.meta.filename, 'utf8')
  for (const guide of HERE) assert.ok(own.includes(`place('${guide}'`), `${guide} is not run here`)
})

test('projects, registries and credentials', async () => {
  // Made from the guide's own first lines: nothing is there before.
  const run = place('registries-and-credentials.md', 'shop', {
    BERTH_TOKEN: undefined,
    BERTH_CONSOLE_URL: undefined,
  })
  writeFileSync(join(run.folder, 'token'), `${berth.operatorToken}\n`)
  const login = `berth login ${berth.consoleUrl} --token --name console.example < token`
  const loggedIn = await runShell(run, login)
  assert.equal(loggedIn.code, 0, loggedIn.stderr)
  await runGuide({
    ...run,
    prepare: (line) =>
      line
        .replace(/^source <\(berth completion zsh\)$/, 'berth completion zsh | grep bashcompinit')
        .replace(/^berth completion fish \| source$/, 'berth completion fish | grep berth'),
  })
})

test('regions', async () => {
  await berth.createProject('places')
  await runGuide({
    ...place('regions.md', 'places'),
    prepare: (line) =>
      line
        .replace('projects set shop', 'projects set places')
        .replace(/^(BERTH_REGISTRY_DOMAIN=\S+)$/, '$1 BERTH_REGIONS=eu=Europe berth config print')
        .replace(
          /^(BERTH_REGIONS='eu=Europe,us=America')$/,
          'BERTH_REGISTRY_DOMAIN=example.com $1 berth config print',
        )
        .replace(/^(BERTH_REGIONS='\S+@\S+')$/, '$1 berth config print'),
  })
})

test('audit', async () => {
  await berth.createProject('watched')
  const key = await berth.createKey('watched', { actions: ['pull'] })
  const refused = await fetch(`${berth.registryUrl}/v2/watched/web/blobs/uploads/`, {
    method: 'POST',
    headers: { authorization: key.authorization },
  })
  const requestId = refused.headers.get('x-request-id') ?? ''
  const example = '0b6cbf6e-2c55-4d2c-9c51-3f4f2e1f0a55'
  const run = place('audit.md', 'watched')
  await waitFor('the refusal to be kept', async () => {
    return (await runShell(run, `berth explain ${requestId}`)).code === 0
  })
  await runGuide({
    ...run,
    notRun: {
      [`denied: This key does not allow "push" here. (berth explain ${example})`]: 'what docker prints',
    },
    prepare: async (line) => {
      const heads = async (): Promise<string> => {
        const { stdout } = await runShell(run, 'berth audit verify --json')
        return (JSON.parse(stdout) as { heads: { head: string }[] }).heads.map(({ head }) => head).join(' ')
      }
      const known = line.replace(example, requestId)
      return known.includes('…') ? known.replace(/--since-head .*/, `--since-head ${await heads()}`) : known
    },
  })
})

test('webhooks', async () => {
  await berth.createProject('hooked')
  const pusher = await berth.createKey('hooked')
  await runGuide({
    ...place('webhooks.md', 'hooked'),
    prepare: async (line) => {
      const known = line.replace('https://ci.example', receiver.origin)
      if (!known.includes('wh_')) return known
      const id = await onlyId('/projects/hooked/webhooks')
      const named = known.replace('wh_abcdefghijkm', id)
      if (!named.includes('msg_')) return named
      const deliveries = `/projects/hooked/webhooks/${id}/deliveries`
      if (receiver.received.length < 2) {
        await pushImage(berth.registryUrl, 'hooked/web', 'v1', pusher.authorization)
        await waitFor('the event of the push', async () => receiver.received.length > 1)
      }
      return named.replace('msg_2Wx…', await onlyId(deliveries))
    },
  })
  await waitFor('the test event, the push and its repetition', async () => receiver.received.length > 2)
})

test('members and keys', async () => {
  await berth.createProject('team')
  const [ada, leaver] = [
    await becomeMember('ada@example.com', 'developer'),
    await becomeMember('eve@example.com', 'viewer'),
  ]
  assert.notEqual(ada, leaver)
  await runGuide({
    ...place('members-and-keys.md', 'team'),
    notRun: {
      'Warning: 299 - "API key 0123456789ab expires at 2027-01-31T00:00:00Z; make a new one and log in with it"':
        'a header that the registry sends',
    },
    prepare: async (line) => {
      if (line === 'berth members leave') return `BERTH_TOKEN=${leaver} ${line}`
      if (!line.includes('<id>')) return line
      return line.replace('<id>', await onlyId('/projects/team/invitations'))
    },
  })
})

test('people', async () => {
  await berth.createProject('persons')
  const token = await becomeMember('mary@example.com', 'viewer', 'persons')
  // The last operator cannot be made less, so there is one whom the guide does not name.
  await accept('/invitations', { email: 'operator@example.com', operator: true })
  await accept('/invitations', { email: 'other@example.com' })
  const run = place('people.md', 'persons')
  writeFileSync(join(run.folder, 'token-file'), `${token}\n`)
  const inBrowser = 'cli/src/people.test.ts does it with a browser'
  await runGuide({
    ...run,
    notRun: {
      'berth login': inBrowser,
      'berth tokens create laptop --expires 90d': `a token makes no token; ${inBrowser}`,
      'berth passkeys delete <id>': 'an id of somebody; cli/src/people-upkeep.test.ts deletes one',
    },
    prepare: (line) => {
      if (/^berth (invitations|people) /.test(line)) {
        return line.startsWith('berth people') ? line.replace('ada@example.org', 'other@example.com') : line
      }
      const withToken = `BERTH_TOKEN=${token} berth `
      return line.replace(/^berth /, line.includes('--token') ? 'env -u BERTH_TOKEN berth ' : withToken)
    },
  })
})

test('doctor', async () => {
  await berth.createProject('well')
  const { key: secret } = await berth.createKey('well')
  const run = place('doctor.md', 'well')
  writeFileSync(join(run.folder, 'key-file'), `${secret}\n`)
  await runGuide({
    ...run,
    prepare: (line) =>
      line.replace(
        'registry.example.com/shop/doctor',
        `http://${berth.registryHost}/well/doctor --size 4MiB --slow 0`,
      ),
  })
})

test('third-party registries', async () => {
  await berth.createProject('others')
  const run = place('third-party-registries.md', 'others')
  for (const name of ['token.txt', 'password.txt', 'secret-key.txt']) {
    writeFileSync(join(run.folder, name), `${PASSWORD}\n`)
  }
  await runGuide({
    ...run,
    notRun: {
      'docker pull registry.eu.example.com/shop/docker-hub/library/alpine:latest': BY_DOCKER,
    },
    prepare: (line) =>
      line
        .replace('--host registry.example.com:5000', `--host ${upstream.host} --slug registry-example-com`)
        .replace('AKIA…', 'AKIAEXAMPLE'),
  })
})

test('pull through', async () => {
  await berth.createProject('through')
  const run = place('pull-through.md', 'through')
  for (const args of ['docker-hub', `custom --host ${upstream.host} --slug custom-registry`]) {
    const added = await runShell(run, `berth registries add ${args}`)
    assert.equal(added.code, 0, added.stderr)
  }
  await runGuide({
    ...run,
    notRun: {
      'docker login registry.eu.example.com -u api': BY_DOCKER,
      'docker pull registry.eu.example.com/shop/docker-hub/alpine:3.20': BY_DOCKER,
      'docker pull registry.eu.example.com/shop/ghcr/acme/tool@sha256:…': BY_DOCKER,
    },
  })
})

/** A guide with a folder and a project of its own. */
function place(name: string, project: string, env: GuideRun['env'] = {}): GuideRun {
  const own = join(folder.path, project)
  mkdirSync(own)
  return { berth, name, folder: own, env: { BERTH_PROJECT: project, ...env } }
}

/** The id of the newest entry of a list. */
async function onlyId(path: string): Promise<string> {
  const { body } = await berth.api('GET', path)
  const [item] = (body as { items: { id: string }[] }).items
  assert.ok(item !== undefined, `${path} is empty`)
  return item.id
}

/** Makes a new account that is a member. Answers a personal access token of it. */
async function becomeMember(email: string, role: string, project = 'team'): Promise<string> {
  return accept(`/projects/${project}/invitations`, { email, role })
}

/** Sends an invitation, and makes the account as the one invited. Answers a personal access token. */
async function accept(
  path: string,
  invitation: { email: string } & Record<string, unknown>,
): Promise<string> {
  const { body } = await berth.api('POST', path, invitation)
  const browser = openBrowser(berth.consoleUrl, berth.consoleUrl)
  const { pathname, search } = new URL((body as { link: string }).link)
  await browser.get(`${pathname}${search}`)
  const welcome = await browser.submit({ name: invitation.email, password: PASSWORD })
  assert.ok(welcome.status < 400, welcome.html)
  const made = await browser.fetch('/api/v1/personal-tokens', {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      origin: berth.consoleUrl,
      'sec-fetch-site': 'same-origin',
    },
    body: JSON.stringify({ name: 'guide', allowSensitive: true }),
  })
  const answer = (await made.json()) as { token?: string }
  assert.ok(answer.token !== undefined, JSON.stringify(answer))
  return answer.token
}
