/**
 * softiommu/pt: IOMMU page tables over a flat RAM, bit for bit as the hardware reads them.
 *
 * @example
 * const ram = new Ram(1 << 24);
 * const table = createPageTable(vtdss, ram, { vaLg2: 48, oaLg2: 46 });
 * if (!isErrno(table)) table.map(0x1000, 0x8000, 1, IOMMU_READ | IOMMU_WRITE);
 *
 * @module
 */
export { createPageTable } from './create.ts';
export {
  levelBitsOf,
  type Features,
  type PtConfig,
  type PtFeature,
  type PtFormat,
  type PtHooks,
  type Word,
} from './format.ts';
export { amdv1, amdv1mock } from './formats/amdv1.ts';
export { FORMATS } from './all-formats.ts';
export { riscv64 } from './formats/riscv.ts';
export { vtdss } from './formats/vtdss.ts';
export { x86_64 } from './formats/x86-64.ts';
export {
  freeGathered,
  gatherIsDisjoint,
  gatherRange,
  newGather,
  resetGather,
  type Gather,
} from './gather.ts';
export { createWalker } from './walk/create-walker.ts';
export { InterpretedWalker, type WalkerParts } from './walk/interpreted.ts';
export type { WrittenParts } from './walk/written-parts.ts';
export { MemoryReader, type Item, type TableReader } from './walk/table-reader.ts';
export {
  isBeyond,
  newWalkResult,
  PLAIN_WALK,
  trackingWalk,
  WALK_AT_MARK,
  WALK_AT_OUTPUT,
  WALK_AT_TABLE,
  WALK_DENIED,
  WALK_DONE,
  WALK_EMPTY,
  WALK_PRIVILEGED,
  WALK_REASON,
  WALK_RESERVED,
  WALK_UNPROTECTED,
  WALK_UNREADABLE,
  WALK_UNWRITABLE,
  WALK_WIDTH,
  type PageWalker,
  type WalkCode,
  type WalkPolicy,
  type WalkResult,
  type WalkRoot,
} from './walk/walker.ts';
export { pageSizes, pickPageCount, pickPageSize, type PageSizes } from './page-size.ts';
export {
  IOMMU_CACHE,
  IOMMU_MMIO,
  IOMMU_NOEXEC,
  IOMMU_PRIV,
  IOMMU_READ,
  IOMMU_WRITE,
  type DirtySink,
  type PageTable,
  type WalkStep,
} from './page-table.ts';
export { FRAME_WORDS, Ram } from './ram.ts';
// What a format needs to refuse a configuration or an access, and a caller to see it.
export {
  EINVAL,
  EOPNOTSUPP,
  isErrno,
  type Errno,
  type Result,
  type Status,
} from '../base/errno.ts';
export { refuse } from '../base/refuse.ts';
