/** One fault: at the n-th operation since arming, of a kind, once or at each operation from there on until disarmed. */
export type Fault<Kind extends string = string> = { n: number; kind: Kind; persistent: boolean }

/** Something between the server and what it stores in, that counts operations and can spoil them. */
export type FaultInjector<Kind extends string = string> = {
  readonly kinds: readonly Kind[]
  /** Starts counting from zero, with a fault or (null) without. */
  arm(fault: Fault<Kind> | null): void
  /** From now on nothing fails. Answers how many operations there were since arming and how many were spoiled. */
  disarm(): { operations: number; spoiled: number }
  /** What is known about the operation that was spoiled last, for messages. */
  describe(): string
}
