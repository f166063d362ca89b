// @needs versitygw
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { seededBytes } from '../images.ts'
import { startS3 } from './s3.ts'

test('objects, ranges and multipart uploads, over a crash of the server', async () => {
  const server = await startS3()
  const s3 = server.client()
  const Bucket = await server.createBucket()
  await s3.send(new PutObjectCommand({ Bucket, Key: 'a/b', Body: 'hello world' }))
  const range = await s3.send(new GetObjectCommand({ Bucket, Key: 'a/b', Range: 'bytes=6-10' }))
  assert.equal(await range.Body?.transformToString(), 'world')

  const parts = [seededBytes('s3 part 1', 5 * 1024 * 1024), seededBytes('s3 part 2', 1234)] as const
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'big' }))
  const first = await s3.send(
    new UploadPartCommand({ Bucket, Key: 'big', UploadId, PartNumber: 1, Body: parts[0] }),
  )
  await server.kill9()
  await server.start()
  const second = await s3.send(
    new UploadPartCommand({ Bucket, Key: 'big', UploadId, PartNumber: 2, Body: parts[1] }),
  )
  const Parts = [first, second].map(({ ETag }, index) => ({ ETag, PartNumber: index + 1 }))
  await s3.send(
    new CompleteMultipartUploadCommand({ Bucket, Key: 'big', UploadId, MultipartUpload: { Parts } }),
  )
  const whole = await s3.send(new GetObjectCommand({ Bucket, Key: 'big' }))
  assert.deepEqual(
    Buffer.from((await whole.Body?.transformToByteArray()) as Uint8Array),
    Buffer.concat(parts),
  )
  s3.destroy()
  await server.stop()
  assert.equal(existsSync(server.folder), false)
})
