/** A range of I/O addresses. */
export interface IovaRange {
  readonly start: bigint;
  /** Inclusive. */
  readonly last: bigint;
}
