const KIB = 1024
const MIB = 1024 * KIB

/** Bounds of the blob store drivers: bytes, milliseconds and counts, each named. */
export const blobStoreLimits = {
  /** Buffers that reads of blob files borrow, over all stores that share a pool. */
  readBufferBudgetBytes: 64 * MIB,
  /** The part of that budget that only the smallest buffers may use, so that stalled pulls cannot stop the others. */
  readBufferReserveBytes: 16 * MIB,
  /** Buffer sizes to choose from, ascending. The largest is what a fast pull uses. */
  readBufferClassesBytes: [64 * KIB, 256 * KIB, MIB],
  /** Unused buffers that are kept for the next read; the rest is given back. */
  readBufferIdleBytes: 8 * MIB,
  /** A write to a client slower than this makes the pull go on with a smaller buffer and without read-ahead. */
  slowSinkWriteMs: 1_000,
  /** A write to a client faster than this makes the pull go on with a larger buffer. */
  fastSinkWriteMs: 100,

  /** Upload bytes in memory over all file writers that share a budget: half gathering, half being written. */
  writeBudgetBytes: 32 * MIB,
  /** A file writer gathers this much for one `writev` when few are open. */
  writeGatherMaxBytes: MIB,
  /** A file writer gathers at least this much, however many are open. */
  writeGatherMinBytes: 64 * KIB,
  /** Chunks in one `writev`, for senders of tiny chunks. */
  writeChunksMax: 256,

  /** Files of unfinished uploads that stay open between two chunks. */
  parkedUploadsMax: 256,
  /** fsync calls at once. Each blocks a thread of Node's pool (four by default), and reads need one too. */
  syncsInFlightMax: 3,
  /** How long an answer about free space is reused. */
  freeBytesTtlMs: 1_000,

  /** Part size of an S3 multipart upload, before it grows with the upload. S3 takes no part below 5 MiB but the last. */
  s3PartBytes: 8 * MIB,
  s3PartMinBytes: 5 * MIB,
  /** Parts of one upload being sent at once. */
  s3PartsInFlightMax: 4,
  /** Part buffers over all S3 uploads that share a budget. At least the largest part must fit. */
  s3WriteBudgetBytes: 192 * MIB,
  /** Unused part buffers that are kept for the next part; the rest is given back. */
  s3IdleBuffersMax: 4,
  /** How long an upload waits for a part buffer before it is told that the store is busy. */
  s3BufferWaitMs: 60_000,
  s3ConnectTimeoutMs: 5_000,
  /** From sending a request to its answer's headers, for a request with a small body. */
  s3RequestTimeoutMs: 20_000,
  /** Each byte of a request's body adds time at this rate. */
  s3UploadFloorBytesPerSecond: 512 * KIB,
  /** For what an object store does by itself before it answers: joining parts, copying. */
  s3ServerSideTimeoutMs: 5 * 60_000,
  /** A body that sends nothing for this long, while bytes are wanted, is given up. */
  s3BodyIdleTimeoutMs: 30_000,
  /** A store that never answers is given up after this many times the time-out: about a minute. */
  s3AttemptsMax: 3,
  s3SocketsMax: 128,
  /** The longest life of a presigned URL. */
  s3PresignMaxSeconds: 60,
  /** S3 copies a larger object only part by part. */
  s3CopyMaxBytes: 5 * 1024 * MIB,
  /** Parts of such a copy being made at once. */
  s3CopiesInFlightMax: 4,
} as const
