/**
 * Descriptors of the invalidation queue, as declared layouts, and their numbers (formats.md 7, 11.1; VT-d 6.5.2.1, 7.6.1).
 *
 * They share the type in bits 3:0; a 256-bit descriptor has zeros behind.
 */
import { layout } from '../../base/bitfield.ts';

/** By what they invalidate or tell. */
export const desc = {
  /** VT-d 6.5.2.1. */
  context: layout('vtd_desc_context', 128, {
    type: [0, 3],
    granularity: [4, 5],
    did: [16, 31],
    sid: [32, 47],
    functionMask: [48, 49],
  }),
  /** VT-d 6.5.2.3. */
  iotlb: layout('vtd_desc_iotlb', 128, {
    type: [0, 3],
    granularity: [4, 5],
    drainWrites: [6, 6],
    drainReads: [7, 7],
    did: [16, 31],
    addressMask: [64, 69],
    hint: [70, 70],
    address: [76, 127],
  }),
  /** VT-d 6.5.2.5. */
  devTlb: layout('vtd_desc_dev_tlb', 128, {
    type: [0, 3],
    sid: [32, 47],
    size: [64, 64],
    address: [76, 127],
  }),
  /** VT-d 6.5.2.9. */
  wait: layout('vtd_desc_wait', 128, {
    type: [0, 3],
    interrupt: [4, 4],
    statusWrite: [5, 5],
    fence: [6, 6],
    statusData: [32, 63],
    statusAddress: [66, 115],
  }),
  /** VT-d 6.5.2.4. */
  pasidIotlb: layout('vtd_desc_pasid_iotlb', 128, {
    type: [0, 3],
    granularity: [4, 5],
    did: [16, 31],
    pasid: [32, 51],
    addressMask: [64, 69],
    hint: [70, 70],
    address: [76, 127],
  }),
  /** VT-d 6.5.2.2. */
  pasidCache: layout('vtd_desc_pasid_cache', 128, {
    type: [0, 3],
    granularity: [4, 5],
    did: [16, 31],
    pasid: [32, 51],
  }),
  /** VT-d 6.5.2.6. */
  pasidDevTlb: layout('vtd_desc_pasid_dev_tlb', 128, {
    type: [0, 3],
    sid: [16, 31],
    pasid: [32, 51],
    global: [64, 64],
    size: [75, 75],
    address: [76, 127],
  }),
  /** A response to a group of page requests, put into the invalidation queue. VT-d 7.6.1. */
  pageResponse: layout('vtd_desc_page_response', 128, {
    type: [0, 3],
    pasidPresent: [4, 4],
    code: [12, 15],
    rid: [16, 31],
    pasid: [32, 51],
    group: [67, 75],
  }),
} as const;

/** Type of a descriptor. */
export const DESC = {
  CONTEXT: 1,
  IOTLB: 2,
  DEV_TLB: 3,
  WAIT: 5,
  PASID_IOTLB: 6,
  PASID_CACHE: 7,
  PASID_DEV_TLB: 8,
  PAGE_RESPONSE: 9,
} as const;
/** Granularity of an invalidation. */
export const GRAN = {
  /** Of the context cache and the IOTLB. */
  GLOBAL: 1,
  DOMAIN: 2,
  /** The context cache: one device. */
  DEVICE: 3,
  /** Both IOTLBs: one range. */
  PAGE: 3,
  /** The PASID-based IOTLB: everything of one PASID. */
  PASID: 2,
  /** The PASID cache. */
  PC_DOMAIN: 0,
  PC_PASID: 1,
  PC_GLOBAL: 3,
} as const;
