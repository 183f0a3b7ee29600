/**
 * Regions of a vfio PCI device: where they are in the file, GET_REGION_INFO, read, write and mmap (vfio.md 2.2, 2.4, 2.14).
 *
 * A region is at index << 40 of the file: plain read(2) and write(2) begin at BAR 0.
 */
import { EINVAL, EIO, isErrno, type Result, type Status } from '../../base/errno.ts';
import type { Mapping, MmapRequest, MmioWindow } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import type { PciBar } from '../../pci/bar.ts';
import {
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_info_cap_header,
  vfio_region_info,
} from '../../uapi/vfio.ts';
import { behind, capChain, copyToUser, readArg, type InfoCap } from '../ioctl.ts';
import { romSize } from './config.ts';
import type { VfioPciState } from './state.ts';

const INDEX_SHIFT = 40n;
const OFFSET_MASK = (1n << INDEX_SHIFT) - 1n;
const PAGE = 4096;
const NO_ROM = new Uint8Array(0);

/** Where an offset of the file leads. */
export interface RegionPlace {
  readonly index: number;
  /** Offset in the region. */
  readonly at: number;
}

/** The region and the offset in it. */
export function placeOf(offset: bigint): RegionPlace {
  return { index: Number(offset >> INDEX_SHIFT), at: Number(offset & OFFSET_MASK) };
}
/** A BAR below a page has neighbours that a mapping would show too. */
function canMmap(device: VfioPciState, bar: PciBar): boolean {
  return device.barAccess(bar.index) !== 'none' && !bar.isIo && bar.size >= PAGE;
}

// ---- GET_REGION_INFO

/** @kernel vfio_pci_ioctl_get_region_info */
export function getRegionInfo(device: VfioPciState, task: Task, arg: bigint): Status {
  const info = readArg(task, arg, vfio_region_info, 'offset');
  if (isErrno(info)) return info;
  const { index, argsz } = info;
  if (index >= VFIO_PCI_NUM_REGIONS || index === VFIO_PCI_VGA_REGION_INDEX) {
    return refuse(EINVAL, 'the device has no such region', { index });
  }
  const region = describe(device, index);
  info.flags = region.flags;
  info.size = BigInt(region.size);
  info.offset = BigInt(index) << INDEX_SHIFT;
  info.cap_offset = 0;
  if (region.caps.length > 0) {
    const chain = capChain(region.caps, vfio_region_info.size);
    info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
    if (argsz < vfio_region_info.size + chain.length) {
      info.argsz = vfio_region_info.size + chain.length;
    } else {
      const rc = copyToUser(task, behind(arg, vfio_region_info), chain);
      if (rc) return rc;
      info.cap_offset = vfio_region_info.size;
    }
  }
  return copyToUser(task, arg, info.bytes);
}

function describe(
  device: VfioPciState,
  index: number,
): { size: number; flags: number; caps: InfoCap[] } {
  const readWrite = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) {
    return { size: device.config.size, flags: readWrite, caps: [] };
  }
  if (index === VFIO_PCI_ROM_REGION_INDEX) {
    const size = romSize(device.fn);
    return { size, flags: size === 0 ? 0 : VFIO_REGION_INFO_FLAG_READ, caps: [] };
  }
  const bar = device.fn.bars[index];
  if (!bar) return { size: 0, flags: 0, caps: [] };
  if (!canMmap(device, bar)) return { size: bar.size, flags: readWrite, caps: [] };
  const hasTable = device.fn.msix?.bar === index;
  return {
    size: bar.size,
    flags: readWrite | VFIO_REGION_INFO_FLAG_MMAP,
    caps: hasTable
      ? [{ id: VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, bytes: vfio_info_cap_header.make().bytes }]
      : [],
  };
}

// ---- read and write

type Access =
  | { readonly write: false; readonly data: Uint8Array }
  | { readonly write: true; readonly data: Uint8Array };

/** @kernel vfio_pci_rw */
export function readWrite(device: VfioPciState, offset: bigint, access: Access): Result<number> {
  if (access.data.length === 0) return 0;
  const { index, at } = placeOf(offset);
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) {
    return access.write
      ? device.config.write(at, access.data)
      : device.config.read(at, access.data);
  }
  if (index === VFIO_PCI_ROM_REGION_INDEX) return readRom(device, at, access);
  const bar = index <= VFIO_PCI_BAR5_REGION_INDEX ? device.fn.bars[index] : undefined;
  if (!bar) return refuse(EINVAL, 'the device has no such region', { index });
  if (at >= bar.size) return refuse(EINVAL, 'the access begins beyond the BAR', { index, at });
  return accessBar(device, bar, at, access);
}

/** Greedy pieces of 8, 4, 2 and 1 aligned bytes. */
function accessBar(device: VfioPciState, bar: PciBar, at: number, access: Access): Result<number> {
  const count = Math.min(access.data.length, bar.size - at);
  const view = new DataView(access.data.buffer, access.data.byteOffset, count);
  for (let done = 0; done < count;) {
    const width = pieceAt(at + done, count - done);
    if (!bar.isIo && !device.isMemoryAccessible()) {
      return refuse(EIO, 'memory decode is off or the device sleeps', {
        bar: bar.index,
        device: device.fn.name,
      });
    }
    if (device.fn.msix?.bar === bar.index && device.fn.msix.inTable(at + done)) {
      if (!access.write) access.data.fill(0xff, done, done + width);
    } else if (access.write) {
      bar.window.store(at + done, width, getPiece(view, done, width));
    } else {
      setPiece(view, done, width, bar.window.load(at + done, width));
    }
    done += width;
  }
  return count;
}
function pieceAt(at: number, left: number): 1 | 2 | 4 | 8 {
  if (at % 8 === 0 && left >= 8) return 8;
  if (at % 4 === 0 && left >= 4) return 4;
  return at % 2 === 0 && left >= 2 ? 2 : 1;
}
function getPiece(view: DataView, at: number, width: 1 | 2 | 4 | 8): bigint {
  if (width === 8) return view.getBigUint64(at, true);
  if (width === 4) return BigInt(view.getUint32(at, true));
  return BigInt(width === 2 ? view.getUint16(at, true) : view.getUint8(at));
}
function setPiece(view: DataView, at: number, width: 1 | 2 | 4 | 8, value: bigint): void {
  if (width === 8) view.setBigUint64(at, value, true);
  else if (width === 4) view.setUint32(at, Number(value), true);
  else if (width === 2) view.setUint16(at, Number(value), true);
  else view.setUint8(at, Number(value));
}

function readRom(device: VfioPciState, at: number, access: Access): Result<number> {
  const { rom = NO_ROM } = device.fn.identity;
  const size = romSize(device.fn);
  if (access.write) return refuse(EINVAL, 'the ROM cannot be written', { at });
  if (at >= size) return refuse(EINVAL, 'the access begins beyond the ROM', { at, size });
  const count = Math.min(access.data.length, size - at);
  for (let n = 0; n < count; n++) access.data[n] = rom[at + n] ?? 0xff;
  return count;
}

// ---- mmap

/** @kernel vfio_pci_core_mmap */
export function mmapRegion(device: VfioPciState, request: MmapRequest): Result<Mapping> {
  const { index, at } = placeOf(request.offset);
  if (!request.shared) return refuse(EINVAL, 'a BAR is mapped MAP_SHARED only', { index, at });
  const bar = index <= VFIO_PCI_BAR5_REGION_INDEX ? device.fn.bars[index] : undefined;
  if (!bar || !canMmap(device, bar))
    return refuse(EINVAL, 'the region cannot be mapped', { index });
  const length = Number(request.length);
  if (at + length > bar.size) {
    return refuse(EINVAL, 'the mapping goes beyond the BAR', { index, at, length });
  }
  return { kind: 'mmio', window: userWindow(device, bar), start: at, length };
}
/**
 * The BAR as its user may touch it: SIGBUS while the virtual or the real decode is off. Of a function that was pulled out a
 * mapping stays, and nothing answers.
 */
function userWindow(device: VfioPciState, bar: PciBar): MmioWindow {
  const { window } = bar;
  return {
    name: window.name,
    length: window.length,
    get pfn() {
      return window.pfn;
    },
    get doorbells() {
      return window.doorbells;
    },
    accessible: () => device.isOpen && device.isMemoryAccessible(),
    obstacle: () => device.obstacle(),
    load: (offset, width) => window.load(offset, width),
    store: (offset, width, value) => window.store(offset, width, value),
    ...lent(device, bar),
  };
}
/**
 * Plain pages are memory to its user, and shadow pages are for loads, but while somebody wants to hear of every access. Of
 * registers that is so whatever is wished of plain pages.
 */
function lent(device: VfioPciState, bar: PciBar): Pick<MmioWindow, 'lends'> {
  const { index, memory, plain, shadow } = bar;
  const isHeard = device.subsystem.env.trace.on;
  const access = device.barAccess(index) ?? (isHeard ? 'trap' : 'plain');
  if (access !== 'plain' || !memory) return {};
  return { lends: { memory, plain, shadow, isHeard } };
}
