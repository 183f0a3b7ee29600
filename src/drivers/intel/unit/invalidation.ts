/**
 * The hardware side of queued invalidation: descriptors are read from RAM and carried out on the unit's caches
 * (formats.md 7; VT-d 6.5.2; layouts in descriptors.ts).
 *
 * A descriptor the unit does not understand stops the queue with IQE set, as the architecture says.
 */
import { pow2 } from '../../../base/u64.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import type { PageGroupResponse } from '../../unit/ats.ts';
import { MAMV } from '../hardware.ts';
import { DESC, desc, GRAN } from '../descriptors.ts';

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
  [DESC.CONTEXT, contextCache],
  [DESC.IOTLB, iotlb],
  [DESC.DEV_TLB, devTlb],
  [DESC.PASID_IOTLB, pasidIotlb],
  [DESC.PASID_CACHE, pasidCache],
  [DESC.PASID_DEV_TLB, pasidDevTlb],
  [DESC.PAGE_RESPONSE, pageResponse],
]);

/** Carry out the descriptor at word `at`; false when it is not a valid one. */
export function runDescriptor(ram: Ram, at: number, caches: CacheControl): boolean {
  const type = desc.wait.type.get(ram.words, at);
  if (type === DESC.WAIT) return wait(ram, at);
  return HANDLERS.get(type)?.(ram.words, at, caches) ?? false;
}

function wait(ram: Ram, at: number): boolean {
  if (desc.wait.statusWrite.get(ram.words, at) === 0) return true;
  const address = desc.wait.statusAddress.get(ram.words, at);
  if (address >= ram.frameCount * FRAME_WORDS) return false;
  ram.words[address] = desc.wait.statusData.get(ram.words, at) | 0;
  return true;
}

/** Bits of the requester id a function mask leaves out. */
const FUNCTION_MASKS = [0, 0b100, 0b110, 0b111];

function contextCache(words: Int32Array, at: number, caches: CacheControl): boolean {
  const did = desc.context.did.get(words, at);
  const sid = desc.context.sid.get(words, at);
  const kept = ~FUNCTION_MASKS[desc.context.functionMask.get(words, at)]!;
  switch (desc.context.granularity.get(words, at)) {
    case GRAN.GLOBAL:
      caches.invalidateContexts(() => true);
      return true;
    case GRAN.DOMAIN:
      caches.invalidateContexts((entryDid) => entryDid === did);
      return true;
    case GRAN.DEVICE:
      caches.invalidateContexts(
        (entryDid, rid) => entryDid === did && (rid & kept) === (sid & kept),
      );
      return true;
    default:
      return false;
  }
}

function iotlb(words: Int32Array, at: number, caches: CacheControl): boolean {
  const did = desc.iotlb.did.get(words, at);
  switch (desc.iotlb.granularity.get(words, at)) {
    case GRAN.GLOBAL:
      caches.invalidateIotlb(undefined, undefined);
      return true;
    case GRAN.DOMAIN:
      caches.invalidateIotlb(did, undefined);
      return true;
    case GRAN.PAGE: {
      const order = desc.iotlb.addressMask.get(words, at);
      if (order > MAMV) return false;
      caches.invalidateIotlb(did, maskedRange(desc.iotlb.address.get(words, at), order));
      return true;
    }
    default:
      return false;
  }
}

function pasidIotlb(words: Int32Array, at: number, caches: CacheControl): boolean {
  const did = desc.pasidIotlb.did.get(words, at);
  const pasid = desc.pasidIotlb.pasid.get(words, at);
  switch (desc.pasidIotlb.granularity.get(words, at)) {
    case GRAN.PASID:
      caches.invalidatePasidIotlb(did, pasid, undefined);
      return true;
    case GRAN.PAGE: {
      const order = desc.pasidIotlb.addressMask.get(words, at);
      if (order > MAMV) return false;
      const range = maskedRange(desc.pasidIotlb.address.get(words, at), order);
      caches.invalidatePasidIotlb(did, pasid, range);
      return true;
    }
    default:
      return false;
  }
}

function pasidCache(words: Int32Array, at: number, caches: CacheControl): boolean {
  const did = desc.pasidCache.did.get(words, at);
  const pasid = desc.pasidCache.pasid.get(words, at);
  switch (desc.pasidCache.granularity.get(words, at)) {
    case GRAN.PC_DOMAIN:
      caches.invalidatePasids((entryDid) => entryDid === did);
      return true;
    case GRAN.PC_PASID:
      caches.invalidatePasids((entryDid, entryPasid) => entryDid === did && entryPasid === pasid);
      return true;
    case GRAN.PC_GLOBAL:
      caches.invalidatePasids(() => true);
      return true;
    default:
      return false;
  }
}

function devTlb(words: Int32Array, at: number, caches: CacheControl): boolean {
  const address = desc.devTlb.address.get(words, at);
  const range = sizedRange(address, desc.devTlb.size.get(words, at) === 1);
  caches.invalidateDevTlb(desc.devTlb.sid.get(words, at), -1, range);
  return true;
}

function pasidDevTlb(words: Int32Array, at: number, caches: CacheControl): boolean {
  const address = desc.pasidDevTlb.address.get(words, at);
  const range = sizedRange(address, desc.pasidDevTlb.size.get(words, at) === 1);
  const global = desc.pasidDevTlb.global.get(words, at) === 1;
  const pasid = global ? undefined : desc.pasidDevTlb.pasid.get(words, at);
  caches.invalidateDevTlb(desc.pasidDevTlb.sid.get(words, at), pasid, range);
  return true;
}

function pageResponse(words: Int32Array, at: number, caches: CacheControl): boolean {
  const hasPasid = desc.pageResponse.pasidPresent.get(words, at) === 1;
  caches.respond({
    requesterId: desc.pageResponse.rid.get(words, at),
    pasid: hasPasid ? desc.pageResponse.pasid.get(words, at) : -1,
    group: desc.pageResponse.group.get(words, at),
    code: desc.pageResponse.code.get(words, at),
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
