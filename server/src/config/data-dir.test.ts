import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { DataDirError, openDataDir } from './data-dir.ts'

const folder = mkdtempSync(join(tmpdir(), 'berth-data-dir-'))
after(() => rmSync(folder, { recursive: true }))

test('one process at a time, until it lets go', () => {
  const path = join(folder, 'one')
  const first = openDataDir(path)
  assert.throws(() => openDataDir(path), /Another Berth process uses the data folder/)
  first.release()
  openDataDir(path).release()
})

test('a process that was killed leaves no lock behind', async () => {
  const path = join(folder, 'killed')
  const module = new URL('./data-dir.ts', import.meta.url).href
  const child = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { openDataDir } from '${module}'; globalThis.kept = openDataDir('${path}'); console.log('locked'); setInterval(() => {}, 1000)`,
  ])
  await once(child.stdout, 'data')
  assert.throws(() => openDataDir(path), DataDirError)
  child.kill('SIGKILL')
  await once(child, 'exit')
  openDataDir(path).release()
})

test('a folder that is a file says so', () => {
  const path = join(folder, 'file')
  writeFileSync(path, '')
  assert.throws(() => openDataDir(path), /it is a file, not a folder/)
  assert.throws(() => openDataDir(join(path, 'below')), /a part of the path is a file/)
})

test('a folder that may not be written says so', {
  skip: process.getuid?.() === 0 ? 'root may write everywhere' : false,
}, () => {
  const path = join(folder, 'sealed')
  openDataDir(path).release()
  chmodSync(path, 0o500)
  assert.throws(() => openDataDir(path), /this user may not write there/)
})
