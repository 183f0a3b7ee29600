/**
 * The hardware side of queued invalidation: descriptors are read from RAM and carried out on the unit's caches
 * (formats.md 7; VT-d 6.5.2; descriptor layouts in words.ts).
 *
 * A descriptor the unit does not understand stops the queue with IQE set, as the architecture says.
 */
import { pow2 } from '../../../base/u64.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import type { PageGroupResponse } from '../../unit/ats.ts';
import { MAMV } from '../hardware.ts';
import {
  DESC_CONTEXT,
  DESC_DEV_TLB,
  DESC_PAGE_RESPONSE,
  DESC_IOTLB,
  DESC_PASID_CACHE,
  DESC_PASID_DEV_TLB,
  DESC_PASID_IOTLB,
  DESC_WAIT,
  descContext,
  descDevTlb,
  descPageResponse,
  descIotlb,
  descPasidCache,
  descPasidDevTlb,
  descPasidIotlb,
  descWait,
  GRAN_DEVICE,
  GRAN_DOMAIN,
  GRAN_GLOBAL,
  GRAN_PAGE,
  GRAN_PASID,
  GRAN_PC_DOMAIN,
  GRAN_PC_GLOBAL,
  GRAN_PC_PASID,
} from '../words.ts';

/** The caches as the queue commands them. Ranges are granules; `undefined` means everything. */
export interface CacheControl {
  invalidateContexts(matches: (did: number, requesterId: number) => boolean): void;
  invalidatePasids(matches: (did: number, pasid: number) => boolean): void;
  /** Everything, of one domain id, or a range of one. */
  invalidateIotlb(did: number | undefined, range: GranuleRange | undefined): void;
  invalidatePasidIotlb(did: number, pasid: number, range: GranuleRange | undefined): void;
  /** PASID -1: requests without one; undefined: all of the device. */
  invalidateDevTlb(requesterId: number, pasid: number | undefined, range: GranuleRange): void;
  respond(response: PageGroupResponse): void;
}
export interface GranuleRange {
  readonly startG: number;
  readonly countG: number;
}

type Handler = (words: Int32Array, at: number, caches: CacheControl) => boolean;

const HANDLERS = new Map<number, Handler>([
  [DESC_CONTEXT, contextCache],
  [DESC_IOTLB, iotlb],
  [DESC_DEV_TLB, devTlb],
  [DESC_PASID_IOTLB, pasidIotlb],
  [DESC_PASID_CACHE, pasidCache],
  [DESC_PASID_DEV_TLB, pasidDevTlb],
  [DESC_PAGE_RESPONSE, pageResponse],
]);

/** Carry out the descriptor at word `at`; false when it is not a valid one. */
export function runDescriptor(ram: Ram, at: number, caches: CacheControl): boolean {
  const type = descWait.type.get(ram.words, at);
  if (type === DESC_WAIT) return wait(ram, at);
  return HANDLERS.get(type)?.(ram.words, at, caches) ?? false;
}

function wait(ram: Ram, at: number): boolean {
  if (descWait.statusWrite.get(ram.words, at) === 0) return true;
  const address = descWait.statusAddress.get(ram.words, at);
  if (address >= ram.frameCount * FRAME_WORDS) return false;
  ram.words[address] = descWait.statusData.get(ram.words, at) | 0;
  return true;
}

/** Bits of the requester id a function mask leaves out. */
const FUNCTION_MASKS = [0, 0b100, 0b110, 0b111];

function contextCache(words: Int32Array, at: number, caches: CacheControl): boolean {
  const did = descContext.did.get(words, at);
  const sid = descContext.sid.get(words, at);
  const kept = ~FUNCTION_MASKS[descContext.functionMask.get(words, at)]!;
  switch (descContext.granularity.get(words, at)) {
    case GRAN_GLOBAL:
      caches.invalidateContexts(() => true);
      return true;
    case GRAN_DOMAIN:
      caches.invalidateContexts((entryDid) => entryDid === did);
      return true;
    case GRAN_DEVICE:
      caches.invalidateContexts(
        (entryDid, rid) => entryDid === did && (rid & kept) === (sid & kept),
      );
      return true;
    default:
      return false;
  }
}

function iotlb(words: Int32Array, at: number, caches: CacheControl): boolean {
  const did = descIotlb.did.get(words, at);
  switch (descIotlb.granularity.get(words, at)) {
    case GRAN_GLOBAL:
      caches.invalidateIotlb(undefined, undefined);
      return true;
    case GRAN_DOMAIN:
      caches.invalidateIotlb(did, undefined);
      return true;
    case GRAN_PAGE: {
      const order = descIotlb.addressMask.get(words, at);
      if (order > MAMV) return false;
      caches.invalidateIotlb(did, maskedRange(descIotlb.address.get(words, at), order));
      return true;
    }
    default:
      return false;
  }
}

function pasidIotlb(words: Int32Array, at: number, caches: CacheControl): boolean {
  const did = descPasidIotlb.did.get(words, at);
  const pasid = descPasidIotlb.pasid.get(words, at);
  switch (descPasidIotlb.granularity.get(words, at)) {
    case GRAN_PASID:
      caches.invalidatePasidIotlb(did, pasid, undefined);
      return true;
    case GRAN_PAGE: {
      const order = descPasidIotlb.addressMask.get(words, at);
      if (order > MAMV) return false;
      const range = maskedRange(descPasidIotlb.address.get(words, at), order);
      caches.invalidatePasidIotlb(did, pasid, range);
      return true;
    }
    default:
      return false;
  }
}

function pasidCache(words: Int32Array, at: number, caches: CacheControl): boolean {
  const did = descPasidCache.did.get(words, at);
  const pasid = descPasidCache.pasid.get(words, at);
  switch (descPasidCache.granularity.get(words, at)) {
    case GRAN_PC_DOMAIN:
      caches.invalidatePasids((entryDid) => entryDid === did);
      return true;
    case GRAN_PC_PASID:
      caches.invalidatePasids((entryDid, entryPasid) => entryDid === did && entryPasid === pasid);
      return true;
    case GRAN_PC_GLOBAL:
      caches.invalidatePasids(() => true);
      return true;
    default:
      return false;
  }
}

function devTlb(words: Int32Array, at: number, caches: CacheControl): boolean {
  const address = descDevTlb.address.get(words, at);
  const range = sizedRange(address, descDevTlb.size.get(words, at) === 1);
  caches.invalidateDevTlb(descDevTlb.sid.get(words, at), -1, range);
  return true;
}

function pasidDevTlb(words: Int32Array, at: number, caches: CacheControl): boolean {
  const address = descPasidDevTlb.address.get(words, at);
  const range = sizedRange(address, descPasidDevTlb.size.get(words, at) === 1);
  const global = descPasidDevTlb.global.get(words, at) === 1;
  const pasid = global ? undefined : descPasidDevTlb.pasid.get(words, at);
  caches.invalidateDevTlb(descPasidDevTlb.sid.get(words, at), pasid, range);
  return true;
}

function pageResponse(words: Int32Array, at: number, caches: CacheControl): boolean {
  const hasPasid = descPageResponse.pasidPresent.get(words, at) === 1;
  caches.respond({
    requesterId: descPageResponse.rid.get(words, at),
    pasid: hasPasid ? descPageResponse.pasid.get(words, at) : -1,
    group: descPageResponse.group.get(words, at),
    code: descPageResponse.code.get(words, at),
  });
  return true;
}

function maskedRange(address: number, order: number): GranuleRange {
  const countG = pow2(order);
  return { startG: Math.floor(address / countG) * countG, countG };
}

/** Device-TLB invalidations encode the size in the address: the lowest clear bit, when S is set. */
function sizedRange(address: number, sized: boolean): GranuleRange {
  if (!sized) return { startG: address, countG: 1 };
  let order = 1;
  let rest = address;
  while (order < 52 && rest % 2 === 1) {
    rest = Math.floor(rest / 2);
    order++;
  }
  return maskedRange(address, order);
}
