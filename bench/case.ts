import type { Content } from './content.ts'
import type { Goal, Sample } from './sample.ts'
import type { Session } from './session.ts'
import type { ServerId } from './servers/server.ts'

/** How much is done. `--quick` makes everything small: it checks that the benchmark works and measures nothing. */
export interface Size {
  readonly quick: boolean
  readonly rounds: number
  /** Length of measurements that go by time. */
  readonly durationMs: number
}

/** Measures one stage in one round. Called for each server in turn before the next round begins. */
export type Stage = (round: number) => Promise<Sample[]>

/** One case of the benchmark. */
export interface Case {
  readonly id: string
  readonly title: string
  readonly servers: readonly ServerId[]
  /** True: each round gets servers of its own on empty folders, for cases about memory and start. */
  readonly freshServers: boolean
  readonly goals: Readonly<Record<string, Goal>>
  /** Puts in place what the case reads. Stages run one after the other, each through all of its rounds. */
  open(session: Session, content: Content, size: Size): Promise<Stage[]>
}

export const MIB = 1024 * 1024
export const GB = 1e9

export const ALL_SERVERS: readonly ServerId[] = ['berth', 'registry', 'registry-htpasswd']
export const WITHOUT_HTPASSWD: readonly ServerId[] = ['berth', 'registry']
