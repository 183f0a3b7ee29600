/**
 * The words a VT-d unit and its driver exchange through RAM, as declared layouts (formats.md 7, 11.1). Descriptors of the
 * invalidation queue are in descriptors.ts.
 *
 * Device tables, PASID tables, page requests and the fault recording register. Fields named by the
 * architecture keep its names. Bits that no field names are reserved and must be zero.
 */
import { layout, type Field } from '../../base/bitfield.ts';

/** VT-d 9.1. */
export const legacyRoot = layout('vtd_root_legacy', 128, { p: [0, 0], contextTable: [12, 63] });
/** VT-d 9.2. */
export const scalableRoot = layout('vtd_root_scalable', 128, {
  lp: [0, 0],
  lowerTable: [12, 63],
  up: [64, 64],
  upperTable: [76, 127],
});
/** VT-d 9.3. */
export const legacyContext = layout('vtd_context_legacy', 128, {
  p: [0, 0],
  fpd: [1, 1],
  t: [2, 3],
  ssptptr: [12, 63],
  aw: [64, 66],
  avl: [67, 70],
  did: [72, 87],
});
/** VT-d 9.4. */
export const scalableContext = layout('vtd_context_scalable', 256, {
  p: [0, 0],
  fpd: [1, 1],
  dte: [2, 2],
  paside: [3, 3],
  pre: [4, 4],
  pdts: [9, 11],
  pasiddirptr: [12, 63],
  rid_pasid: [64, 83],
});
/** VT-d 9.5. */
export const pasidDirectory = layout('vtd_pasid_directory', 64, {
  p: [0, 0],
  fpd: [1, 1],
  table: [12, 63],
});
/** VT-d 9.6. */
export const pasidEntry = layout('vtd_pasid_entry', 512, {
  p: [0, 0],
  fpd: [1, 1],
  aw: [2, 4],
  pgtt: [6, 8],
  ssade: [9, 9],
  ssptptr: [12, 63],
  did: [64, 79],
  pwsnp: [87, 87],
  pgsnp: [88, 88],
  sre: [128, 128],
  fspm: [130, 131],
  wpe: [132, 132],
  eafe: [135, 135],
  fsptptr: [140, 191],
});

/** Translation type of a legacy context entry. */
export const T_SECOND_STAGE = 0;
export const T_SECOND_STAGE_ATS = 1;
export const T_PASS_THROUGH = 2;
/** PGTT of a PASID entry. */
export const PGTT_FIRST = 1;
export const PGTT_SECOND = 2;
export const PGTT_NESTED = 3;
export const PGTT_PASS_THROUGH = 4;

/** VT-d 11.4.7.6. */
export const faultRecord = layout('vtd_fault_record', 128, {
  address: [12, 63],
  sid: [64, 79],
  type2: [92, 92],
  privileged: [93, 93],
  execute: [94, 94],
  pasidPresent: [95, 95],
  reason: [96, 103],
  pasid: [104, 123],
  addressType: [124, 125],
  read: [126, 126],
  f: [127, 127],
});

/** A record of the page request queue. VT-d 7.4.1.1. */
export const pageRequest = layout('vtd_page_request', 256, {
  type: [0, 7],
  pasidPresent: [8, 8],
  rid: [16, 31],
  pasid: [32, 51],
  execute: [52, 52],
  privileged: [53, 53],
  read: [64, 64],
  write: [65, 65],
  last: [66, 66],
  group: [67, 75],
  page: [76, 127],
});
export const PAGE_REQUEST = 1;
export const PAGE_REQUEST_BYTES = 32;

type AnyLayout = Readonly<Record<string, Field | number | string>> & { readonly $words: number };

/** Masks of the bits no field names, one per 32-bit word. */
export function reservedMasks(of: AnyLayout): Int32Array {
  const masks = new Int32Array(of.$words).fill(-1);
  for (const field of Object.values<Field | number | string>(of)) {
    if (typeof field === 'object') clear(masks, field);
  }
  return masks;
}

function clear(masks: Int32Array, field: Field): void {
  for (let n = field.low; n <= field.high; n++) masks[n >> 5]! &= ~(1 << (n & 31));
}

/** Is a reserved bit set in the record at `at`? */
export function hasReserved(words: Int32Array, at: number, masks: Int32Array): boolean {
  for (let n = 0; n < masks.length; n++) {
    if ((words[at + n]! & masks[n]!) !== 0) return true;
  }
  return false;
}
