/** One measurement of work done: a row of the report in one round on one server. */
export interface LoadSample {
  readonly kind: 'load'
  readonly row: string
  /** What is counted: GB is 10^9 bytes of blob content. */
  readonly unit: 'GB' | 'request' | 'image' | 'list'
  /** How many units were done. */
  readonly work: number
  readonly wallMs: number
  /** Processor time of the server's whole process tree. */
  readonly cpuMs: number
  readonly clientCpuMs: number
  /** Peak resident memory of the server during the load. */
  readonly peakBytes: number
  /** Of the request that the row is about; 0 when a unit is many requests. */
  readonly p50Us: number
  readonly p99Us: number
}

/** One measurement of a state. */
export interface ValueSample {
  readonly kind: 'value'
  readonly row: string
  readonly unit: 'MiB' | 'ms'
  readonly value: number
}

export type Sample = LoadSample | ValueSample

/** What a row is meant to reach. Ratios are Berth to docker-registry without authentication, medians of the rounds. */
export interface Goal {
  readonly rateAtLeast?: number
  readonly cpuAtMost?: number
  /** In the row's unit, of Berth alone. */
  readonly valueAtMost?: number
  /** Another row of the same case whose CPU for a unit this one may cost, within {@link SAME_RATE}. */
  readonly sameCpuAs?: string
  /** Another row of the same case whose rate this one must reach, within {@link SAME_RATE}. */
  readonly sameRateAs?: string
}

/** Two rates that differ by less than this factor count as the same: runs of one server differ as much. */
export const SAME_RATE = 0.85
