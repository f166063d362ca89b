import type { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { ByteRange } from '../blobstore.ts'
import { BlobStoreError } from '../blobstore.ts'
import { blobStoreLimits } from '../limits.ts'
import { isBeyondEnd, isMissingObject } from './s3-errors.ts'

export interface BucketOptions {
  /** Null: AWS. */
  readonly endpoint: string | null
  readonly bucket: string
  readonly region: string
  /** Null: the SDK's own chain of credentials (instance roles and the like). */
  readonly accessKeyId: string | null
  readonly secretAccessKey: string | null
  readonly forcePathStyle: boolean
  /** What all names begin with, for instance `regions/eu/`. */
  readonly prefix: string
  /** How often a request is sent at most, when the store or the network fails it. */
  readonly attemptsMax?: number
}

export interface StoredObject {
  readonly name: string
  readonly sizeBytes: number
  readonly modifiedAt: number
}

/** The requests that the driver makes, by names below the prefix. Errors are the SDK's own. */
export class Bucket {
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: string

  constructor(options: BucketOptions) {
    const { accessKeyId, secretAccessKey } = options
    this.#bucket = options.bucket
    this.#prefix = options.prefix
    this.#client = new S3Client({
      region: options.region,
      forcePathStyle: options.forcePathStyle,
      ...(options.endpoint === null ? {} : { endpoint: options.endpoint }),
      ...(accessKeyId === null || secretAccessKey === null
        ? {}
        : { credentials: { accessKeyId, secretAccessKey } }),
      maxAttempts: options.attemptsMax ?? blobStoreLimits.s3AttemptsMax,
      // The signature covers the SHA-256 of each body, which every S3 server checks. Checksums in headers of their own
      // would add nothing, and some servers refuse them.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      // The SDK opens a new connection for each request that waits for "100 Continue".
      expectContinueHeader: false,
      requestHandler: {
        connectionTimeout: blobStoreLimits.s3ConnectTimeoutMs,
        requestTimeout: blobStoreLimits.s3RequestTimeoutMs,
        throwOnRequestTimeout: true,
        socketTimeout: 0, // A pull by a slow client leaves the socket idle; `S3Source` watches over bodies itself.
        httpAgent: { maxSockets: blobStoreLimits.s3SocketsMax },
        httpsAgent: { maxSockets: blobStoreLimits.s3SocketsMax },
      },
    })
  }

  async put(name: string, body: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#client.send(
      new PutObjectCommand({ ...this.#at(name), Body: body }),
      sending(body.byteLength, signal),
    )
  }

  /** Null when there is no such object. The body must be read to its end or destroyed. */
  async get(
    name: string,
    range: ByteRange | null,
    signal?: AbortSignal,
  ): Promise<{ body: Readable; sizeBytes: number; totalBytes: number } | 'beyond_end' | null> {
    const Range = range ? { Range: `bytes=${range.start}-${range.end}` } : {}
    try {
      const answer = await this.#client.send(
        new GetObjectCommand({ ...this.#at(name), ...Range }),
        sending(0, signal),
      )
      const sizeBytes = answer.ContentLength
      const totalBytes = range ? Number(answer.ContentRange?.split('/')[1]) : sizeBytes
      if (
        !answer.Body ||
        sizeBytes === undefined ||
        totalBytes === undefined ||
        !Number.isSafeInteger(totalBytes)
      ) {
        throw new BlobStoreError('unavailable', 'the object store did not say how long the object is')
      }
      return { body: answer.Body as Readable, sizeBytes, totalBytes }
    } catch (error) {
      if (isBeyondEnd(error)) {
        return 'beyond_end'
      }
      return nullIfMissing(error)
    }
  }

  async head(name: string): Promise<StoredObject | null> {
    try {
      const answer = await this.#client.send(new HeadObjectCommand(this.#at(name)))
      return { name, sizeBytes: answer.ContentLength ?? 0, modifiedAt: answer.LastModified?.getTime() ?? 0 }
    } catch (error) {
      return nullIfMissing(error)
    }
  }

  async delete(name: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand(this.#at(name))).catch(nullIfMissing)
  }

  /** Copies an object of at most 5 GiB. */
  async copy(from: string, to: string, sizeBytes: number): Promise<void> {
    await this.#client.send(
      new CopyObjectCommand({ ...this.#at(to), CopySource: this.#sourceOf(from) }),
      copying(sizeBytes),
    )
  }

  async createMultipart(name: string): Promise<string> {
    const { UploadId } = await this.#client.send(new CreateMultipartUploadCommand(this.#at(name)))
    if (UploadId === undefined) {
      throw new BlobStoreError('unavailable', 'the object store gave no id for a multipart upload')
    }
    return UploadId
  }

  /** `partNumber` counts from 1. Answers the part's ETag. */
  async uploadPart(
    name: string,
    multipartId: string,
    partNumber: number,
    body: Uint8Array,
    signal?: AbortSignal,
  ): Promise<string> {
    const part = { ...this.#at(name), UploadId: multipartId, PartNumber: partNumber, Body: body }
    const { ETag } = await this.#client.send(new UploadPartCommand(part), sending(body.byteLength, signal))
    return etagOf(ETag)
  }

  async copyPart(
    from: string,
    range: ByteRange,
    name: string,
    multipartId: string,
    partNumber: number,
  ): Promise<string> {
    const command = new UploadPartCopyCommand({
      ...this.#at(name),
      UploadId: multipartId,
      PartNumber: partNumber,
      CopySource: this.#sourceOf(from),
      CopySourceRange: `bytes=${range.start}-${range.end}`,
    })
    const { CopyPartResult } = await this.#client.send(command, serverSide)
    return etagOf(CopyPartResult?.ETag)
  }

  async completeMultipart(name: string, multipartId: string, etags: readonly string[]): Promise<void> {
    const Parts = etags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }))
    const command = new CompleteMultipartUploadCommand({
      ...this.#at(name),
      UploadId: multipartId,
      MultipartUpload: { Parts },
    })
    await this.#client.send(command, serverSide)
  }

  async abortMultipart(name: string, multipartId: string): Promise<void> {
    const command = new AbortMultipartUploadCommand({ ...this.#at(name), UploadId: multipartId })
    await this.#client.send(command).catch(nullIfMissing)
  }

  async multipartExists(name: string, multipartId: string): Promise<boolean> {
    const command = new ListPartsCommand({ ...this.#at(name), UploadId: multipartId, MaxParts: 1 })
    const answer = await this.#client.send(command).catch(nullIfMissing)
    return answer !== null
  }

  async *listObjects(prefix: string): AsyncGenerator<StoredObject> {
    let token: string | undefined
    do {
      const page = await this.#client.send(
        new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: this.#prefix + prefix,
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
      )
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key !== undefined) {
          const name = Key.slice(this.#prefix.length)
          yield { name, sizeBytes: Size ?? 0, modifiedAt: LastModified?.getTime() ?? 0 }
        }
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined
    } while (token !== undefined)
  }

  async *listMultiparts(
    prefix: string,
  ): AsyncGenerator<{ name: string; multipartId: string; startedAt: number }> {
    let after: { KeyMarker?: string; UploadIdMarker?: string } | null = {}
    while (after) {
      const command: ListMultipartUploadsCommand = new ListMultipartUploadsCommand({
        Bucket: this.#bucket,
        Prefix: this.#prefix + prefix,
        ...after,
      })
      const page = await this.#client.send(command)
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        // Some servers take the prefix for a folder and answer with more than was asked for.
        if (Key?.startsWith(this.#prefix + prefix) && UploadId !== undefined) {
          const name = Key.slice(this.#prefix.length)
          yield { name, multipartId: UploadId, startedAt: Initiated?.getTime() ?? 0 }
        }
      }
      const { NextKeyMarker, NextUploadIdMarker } = page
      after =
        page.IsTruncated && NextKeyMarker !== undefined
          ? {
              KeyMarker: NextKeyMarker,
              ...(NextUploadIdMarker ? { UploadIdMarker: NextUploadIdMarker } : {}),
            }
          : null
    }
  }

  async presign(name: string, expiresSeconds: number, contentDisposition: string): Promise<URL> {
    const command = new GetObjectCommand({
      ...this.#at(name),
      ResponseContentType: 'application/octet-stream',
      ResponseContentDisposition: contentDisposition,
    })
    return new URL(await getSignedUrl(this.#client, command, { expiresIn: expiresSeconds }))
  }

  close(): void {
    this.#client.destroy()
  }

  #at(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + name }
  }

  #sourceOf(name: string): string {
    return `${this.#bucket}/${encodeURIComponent(this.#prefix + name).replaceAll('%2F', '/')}`
  }
}

const serverSide = { requestTimeout: blobStoreLimits.s3ServerSideTimeoutMs }

function sending(bodyBytes: number, signal: AbortSignal | undefined) {
  const bodyMs = (bodyBytes / blobStoreLimits.s3UploadFloorBytesPerSecond) * 1000
  const requestTimeout = Math.ceil(blobStoreLimits.s3RequestTimeoutMs + bodyMs)
  return signal ? { requestTimeout, abortSignal: signal } : { requestTimeout }
}

/** A client waits for it: a store that is silent about a few bytes is not given the time for gigabytes. */
function copying(sizeBytes: number) {
  const { requestTimeout } = sending(sizeBytes, undefined)
  return { requestTimeout: Math.min(requestTimeout, serverSide.requestTimeout) }
}

function etagOf(etag: string | undefined): string {
  if (etag === undefined) {
    throw new BlobStoreError('unavailable', 'the object store gave no ETag for a part')
  }
  return etag
}

function nullIfMissing(error: unknown): null {
  if (isMissingObject(error)) {
    return null
  }
  throw error
}
