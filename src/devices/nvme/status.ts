/** Status codes of NVMe as a controller gives them: type << 8 | code (devices.md 4.3). */

/** What became of a command. */
export const STATUS = {
  SUCCESS: 0x000,
  INVALID_OPCODE: 0x001,
  INVALID_FIELD: 0x002,
  DATA_TRANSFER: 0x004,
  INTERNAL: 0x006,
  ABORTED: 0x007,
  ABORTED_SQ_DELETED: 0x008,
  INVALID_NAMESPACE: 0x00b,
  SEQUENCE: 0x00c,
  SGL_SEGMENT: 0x00d,
  SGL_COUNT: 0x00e,
  SGL_LENGTH: 0x00f,
  SGL_TYPE: 0x011,
  PRP_OFFSET: 0x013,
  WRITE_PROTECTED: 0x020,
  LBA_RANGE: 0x080,
  CAPACITY: 0x081,
  CQ_INVALID: 0x100,
  QUEUE_ID: 0x101,
  QUEUE_SIZE: 0x102,
  AER_LIMIT: 0x105,
  VECTOR: 0x108,
  LOG_PAGE: 0x109,
  FORMAT: 0x10a,
  DELETION_ORDER: 0x10c,
  NOT_SAVEABLE: 0x10d,
  NOT_CHANGEABLE: 0x10e,
  WRITE_FAULT: 0x280,
  UNRECOVERED_READ: 0x281,
  COMPARE: 0x285,
} as const;

/** Of the status field: trying again is of no use. */
const DO_NOT_RETRY = 0x4000;
const MAY_RETRY: ReadonlySet<number> = new Set([
  STATUS.SUCCESS,
  STATUS.DATA_TRANSFER,
  STATUS.INTERNAL,
  STATUS.ABORTED,
  STATUS.ABORTED_SQ_DELETED,
]);

/** The status field of a completion, without its phase bit: bits 15:1. */
export function statusField(status: number): number {
  return MAY_RETRY.has(status) ? status : status | DO_NOT_RETRY;
}
