import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import * as real from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { ByteBudget } from '../byte-budget.ts'
import { DurableDirectories } from './durable-directory.ts'
import type { FileSystem } from './file-system.ts'

describe('durable directories', () => {
  let root = ''
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'berth-directories-'))
  })
  after(() => rm(root, { recursive: true }))

  it('begins a new fsync for those who come while one runs, and shares it among them', async () => {
    const { fileSystem, syncs } = heldSyncs()
    const directories = new DurableDirectories(fileSystem, root, new ByteBudget(3))
    const settled: string[] = []
    const note = (name: string) => (promise: Promise<void>) => promise.then(() => settled.push(name))
    const first = note('first')(directories.sync('.'))
    await syncs.begun(1)
    const second = note('second')(directories.sync('.'))
    const third = note('third')(directories.sync('.'))
    syncs.finish()
    await first
    assert.deepEqual(settled, ['first'])
    await syncs.begun(2)
    syncs.finish()
    await Promise.all([second, third])
    assert.equal(syncs.count, 2)
  })

  it('tells a failed fsync to those who shared it, and to nobody after', async () => {
    const { fileSystem, syncs } = heldSyncs()
    const directories = new DurableDirectories(fileSystem, root, new ByteBudget(3))
    const first = assert.rejects(directories.sync('.'), /EIO/)
    await syncs.begun(1)
    const second = directories.sync('.')
    syncs.fail()
    await first
    await syncs.begun(2)
    syncs.finish()
    await second
  })

  it('makes a directory once, and tries again after a failure', async () => {
    const { fileSystem, syncs } = heldSyncs()
    const directories = new DurableDirectories(fileSystem, root, new ByteBudget(3))
    const both = [directories.ensure('a'), directories.ensure('a')].map((made) => assert.rejects(made, /EIO/))
    await syncs.begun(1)
    syncs.fail()
    await Promise.all(both)
    const again = directories.ensure('a')
    await syncs.begun(2)
    syncs.finish()
    await again
    await directories.ensure('a')
    assert.equal(syncs.count, 2)
  })
})

/** The real file system, but each fsync of a directory ends when told to. */
function heldSyncs() {
  const waiting: PromiseWithResolvers<void>[] = []
  const syncs = {
    count: 0,
    async begun(count: number): Promise<void> {
      while (syncs.count < count) {
        await new Promise((resolve) => {
          setImmediate(resolve)
        })
      }
    },
    finish: () => waiting.shift()?.resolve(),
    fail: () => waiting.shift()?.reject(new Error('EIO')),
  }
  const open = async (path: string) => {
    const handle = await real.open(path, 'r')
    const sync = () => {
      syncs.count++
      const held = Promise.withResolvers<void>()
      waiting.push(held)
      return held.promise
    }
    return { sync, close: () => handle.close() }
  }
  return { fileSystem: { ...real, open } as unknown as FileSystem, syncs }
}
