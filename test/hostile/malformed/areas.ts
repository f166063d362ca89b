/** All malformed input, and what it is sent to. */
import assert from 'node:assert/strict'
import type { Berth, KeyAnswer } from '../../support/berth.ts'
import {
  callFor,
  imageOf,
  openUpload,
  portOf,
  pushBlob,
  pushImage,
  randomBlob,
  tokenFor,
} from '../fixture.ts'
import { openRawConnection, type RawAnswer, type RawConnection } from '../raw-connection.ts'
import { BODIES } from './bodies.ts'
import { CONSOLE } from './console.ts'
import { DIGESTS } from './digests.ts'
import { HEADERS } from './headers.ts'
import { MANIFESTS } from './manifests.ts'
import { NAMES } from './names.ts'
import { PATHS } from './paths.ts'
import { RANGES } from './ranges.ts'
import type { Fixture, Row } from './row.ts'
import { TOKEN_ROWS } from './tokens.ts'

export const AREAS: Readonly<Record<string, readonly Row[]>> = {
  paths: PATHS,
  headers: HEADERS,
  names: NAMES,
  digests: DIGESTS,
  manifests: MANIFESTS,
  ranges: RANGES,
  tokens: TOKEN_ROWS,
  bodies: BODIES,
  console: CONSOLE,
}

/** The regions that the rows need. */
export const REGIONS = ['local', 'other'] as const

/** Makes the project `acme` with an image in it, and everything else that rows refer to. */
export async function prepareFixture(berth: Berth): Promise<Fixture & { readonly key: KeyAnswer }> {
  const project = await berth.createProject('acme')
  const key = await berth.createKey(project.id, { actions: ['pull', 'push', 'delete'] })
  const image = imageOf(randomBlob(1000))
  const bigLayer = randomBlob(100_000)
  await pushImage(berth, key, 'acme/web', 'latest', image)
  await pushBlob(berth, key, 'acme/web', bigLayer)
  const scope = 'repository:acme/web:pull,push'
  const { token: accessToken, refreshToken } = await tokenFor(berth, key, [scope], { offline: true })
  const other = { registryUrl: `http://${berth.regionHosts.get('other')}` }
  const foreign = await callFor(200, other, 'GET', `/auth/token?scope=${scope}`, {
    authorization: key.authorization,
  })
  assert.ok(refreshToken)
  return {
    key,
    registryPort: portOf(berth.registryUrl),
    consolePort: portOf(berth.consoleUrl),
    host: berth.registryHost,
    basic: key.authorization,
    keyText: key.key,
    keyId: key.id,
    projectId: project.id,
    operatorToken: berth.operatorToken,
    manifest: image.manifest,
    config: image.config,
    layer: image.layer,
    bigLayer,
    accessToken,
    refreshToken,
    foreignToken: (JSON.parse(foreign.body.toString()) as { token: string }).token,
    async newUpload() {
      const path = await openUpload(berth, key, 'acme/web')
      const chunk = await callFor(202, berth, 'PATCH', path, {
        authorization: key.authorization,
        body: '01234',
      })
      return chunk.headers.get('location') ?? ''
    },
  }
}

/** Sends a row over a connection of its own, which the caller destroys. */
export async function sendRow(
  row: Row,
  fixture: Fixture,
): Promise<{ method: string; answer: RawAnswer; connection: RawConnection }> {
  const { method, bytes } = await row.wire(fixture)
  const connection = await openRawConnection(
    row.surface === 'registry' ? fixture.registryPort : fixture.consolePort,
  )
  try {
    connection.send(bytes)
    return { method, answer: await connection.readAnswer(method), connection }
  } catch (error) {
    connection.destroy()
    throw error
  }
}
