/**
 * Bounce buffers for untrusted devices (core.md 10.3): a buffer that shares a granule with other memory is copied into
 * pages of its own, so that the device sees nothing but the buffer.
 */
import { EIO, isErrno, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import { PAGE_SIZE } from '../../base/u64.ts';
import type { Device } from '../contract/device.ts';

/** One buffer and the pages that stand in for it. */
export interface Bounce {
  readonly phys: bigint;
  readonly size: number;
  /** Where the buffer begins in the first frame: as in memory, so that low address bits are kept. */
  readonly offset: number;
  readonly frames: readonly number[];
}

/** Must this buffer be copied for this device? */
export function needsBounce(dev: Device, phys: bigint, size: bigint, granule: bigint): boolean {
  if (dev.bus !== 'pci' || !dev.config.untrusted) return false;
  return ((phys | size) & (granule - 1n)) !== 0n;
}

/**
 * Pages of zeros for a buffer.
 * Errnos: ENOMEM no frames; EIO the core was given no memory to copy with.
 * @kernel swiotlb_tbl_map_single
 */
export function bounceMap(
  dev: Device,
  phys: bigint,
  size: bigint,
): Result<Bounce, 'ENOMEM' | 'EIO'> {
  if (!dev.core.memory)
    return refuse(EIO, 'nothing to copy bounce buffers with', { device: dev.name });
  const { ram } = dev.core;
  const offset = Number(phys % BigInt(PAGE_SIZE));
  const count = Math.ceil((offset + Number(size)) / PAGE_SIZE);
  const frames: number[] = [];
  while (frames.length < count) {
    const frame = ram.alloc();
    if (isErrno(frame)) {
      for (const used of frames) ram.free(used);
      return frame;
    }
    frames.push(frame);
  }
  return { phys, size: Number(size), offset, frames };
}

/** @kernel swiotlb_tbl_unmap_single */
export function bounceUnmap(dev: Device, bounce: Bounce): void {
  for (const frame of bounce.frames) dev.core.ram.free(frame);
}

/** Copy part of a buffer to its bounce pages, or back. */
export function bounceCopy(
  dev: Device,
  bounce: Bounce,
  part: { readonly at: number; readonly length: number },
  toDevice: boolean,
): void {
  const { memory } = dev.core;
  if (!memory) return;
  for (let done = 0; done < part.length;) {
    const at = part.at + done;
    const inBounce = bounce.offset + at;
    const source = bounce.phys + BigInt(at);
    const frame = bounce.frames[Math.floor(inBounce / PAGE_SIZE)]!;
    const there = { frame, offset: inBounce % PAGE_SIZE };
    const here = {
      frame: Number(source / BigInt(PAGE_SIZE)),
      offset: Number(source % BigInt(PAGE_SIZE)),
    };
    const length = Math.min(part.length - done, PAGE_SIZE - there.offset);
    copy(dev, memory, toDevice ? [here, there] : [there, here], length);
    done += length;
  }
}

interface Place {
  readonly frame: number;
  readonly offset: number;
}

/** Memory that went away is logged: the caller has mapped what it does not have. */
function copy(
  dev: Device,
  memory: PhysicalMemory,
  [from, to]: [Place, Place],
  length: number,
): void {
  const bytes = new Uint8Array(length);
  const rc =
    memory.read(from.frame, from.offset, bytes) ?? memory.write(to.frame, to.offset, bytes);
  if (rc) dev.core.env.log('err', `${dev.name}: a bounce buffer could not be copied: ${rc.name}`);
}
