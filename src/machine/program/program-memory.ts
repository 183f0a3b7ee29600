/**
 * The address space of a program that runs inside the library: mappings of plain arrays, shared objects and registers.
 * It implements what the host implements for real processes with /proc (process-memory.ts says what).
 */
import { EFAULT, EINVAL, ENOMEM, type Result, type Status } from '../../base/errno.ts';
import type { MmioWindow } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import { hex, PAGE_SIZE } from '../../base/u64.ts';
import type { HeldPages, ObjectMemory, ProcessMemory, Vma } from '../memory/process-memory.ts';

export interface MapOptions {
  /** Default true. */
  readonly readable?: boolean;
  readonly writable?: boolean;
  /** Where to map; must be page aligned and free. Default: the next free place. */
  readonly address?: bigint;
  readonly huge?: boolean;
  /** Of a shared object: it stands for a file of a file system that writes back (ext4). Default false. */
  readonly writeback?: boolean;
  /** Called when the mapping goes. */
  readonly onUnmap?: () => void;
}

/** Bytes several address spaces can map: a memfd. */
export class SharedObject implements ObjectMemory {
  readonly object: string;
  readonly huge: boolean;
  bytes: Uint8Array;
  constructor(object: string, length: number, huge = false) {
    this.object = object;
    this.bytes = new Uint8Array(length);
    this.huge = huge;
  }
  size(): bigint {
    return BigInt(this.bytes.length);
  }
  read(offset: bigint, into: Uint8Array): Status<'EFAULT'> {
    const part = this.#part(offset, into.length);
    if (!part) return refuse(EFAULT, 'beyond the end of the object', { object: this.object });
    into.set(part);
    return undefined;
  }
  write(offset: bigint, from: Uint8Array): Status<'EFAULT'> {
    const part = this.#part(offset, from.length);
    if (!part) return refuse(EFAULT, 'beyond the end of the object', { object: this.object });
    part.set(from);
    return undefined;
  }
  #part(offset: bigint, length: number): Uint8Array | undefined {
    const end = offset + BigInt(length);
    return end <= this.size() ? this.bytes.subarray(Number(offset), Number(end)) : undefined;
  }
}

interface Area extends Vma {
  /** The whole object, or the area's own bytes; undefined for registers. */
  readonly store: SharedObject | Uint8Array | undefined;
  /** The area's own bytes again, for words at any address. */
  readonly words: DataView | undefined;
  /** The mapping goes. */
  readonly onUnmap?: (() => void) | undefined;
}

/** Where mappings begin when nobody asks for an address: below 2^47 and above null by far. */
const FIRST_INDEX = 0x7f00_0000_0;
/** The address space ends at 2^47, less a page. */
const LAST_INDEX = 2 ** 35 - 1;

export class ProgramMemory implements ProcessMemory {
  alive = true;
  /** In order of address. */
  readonly #areas: Area[] = [];
  #next = FIRST_INDEX;
  /** The area found last. */
  #hit: Area | undefined;

  /** Private anonymous memory. ENOMEM: the place is taken; EINVAL: no length, or not page aligned. */
  map(length: number, options: MapOptions = {}): Result<bigint, 'EINVAL' | 'ENOMEM'> {
    const bytes = new Uint8Array(Math.ceil(length / PAGE_SIZE) * PAGE_SIZE);
    const words = new DataView(bytes.buffer);
    return this.#insert(length, options, {
      store: bytes,
      words,
      object: undefined,
      objectOffset: 0,
    });
  }
  mapShared(
    object: SharedObject,
    offset: number,
    length: number,
    options: MapOptions = {},
  ): Result<bigint, 'EINVAL' | 'ENOMEM'> {
    if (offset % PAGE_SIZE !== 0) return refuse(EINVAL, 'the offset is not page aligned');
    return this.#insert(
      length,
      { huge: object.huge, ...options },
      {
        store: object,
        words: undefined,
        object: object.object,
        objectOffset: offset / PAGE_SIZE,
      },
    );
  }
  mapRegisters(
    window: MmioWindow,
    offset: number,
    length: number,
    options: MapOptions = {},
  ): Result<bigint, 'EINVAL' | 'ENOMEM'> {
    return this.#insert(length, options, {
      store: undefined,
      words: undefined,
      object: undefined,
      objectOffset: 0,
      io: { window, offset },
    });
  }
  /** Whole mappings only: EINVAL when the range is not exactly one. */
  unmap(address: bigint, length: number): Status<'EINVAL'> {
    const start = Number(address / BigInt(PAGE_SIZE));
    const at = this.#areas.findIndex((area) => area.start === start);
    const area = this.#areas[at];
    if (area?.end !== start + Math.ceil(length / PAGE_SIZE)) {
      return refuse(EINVAL, 'only a whole mapping can be unmapped', { address: hex(address) });
    }
    this.#areas.splice(at, 1);
    this.#hit = undefined;
    area.onUnmap?.();
    return undefined;
  }
  /** Shared objects stay what they are, mapped or not. */
  hold(index: number): HeldPages | undefined {
    const area = this.vma(index);
    if (!(area?.store instanceof SharedObject)) return undefined;
    const { store } = area;
    const first = area.objectOffset + index - area.start;
    const at = (page: number, offset: number): bigint =>
      BigInt(first + page) * BigInt(PAGE_SIZE) + BigInt(offset);
    return {
      read: (page, offset, into) => store.read(at(page, offset), into),
      write: (page, offset, from) => store.write(at(page, offset), from),
      release: () => undefined,
    };
  }
  exit(): void {
    this.alive = false;
    this.#hit = undefined;
    for (const area of this.#areas.splice(0)) area.onUnmap?.();
  }

  vma(index: number): Area | undefined {
    const hit = this.#hit;
    if (hit && index >= hit.start && index < hit.end) return hit;
    const area = this.#areaAt(index);
    if (area) this.#hit = area;
    return area;
  }
  #areaAt(index: number): Area | undefined {
    const areas = this.#areas;
    let first = 0;
    let count = areas.length;
    while (count > 0) {
      const half = count >> 1;
      const area = areas[first + half]!;
      if (index >= area.end) {
        first += half + 1;
        count -= half + 1;
      } else if (index < area.start) count = half;
      else return area;
    }
    return undefined;
  }
  hasPage(vma: Area, index: number): boolean {
    if (!(vma.store instanceof SharedObject)) return true;
    const offset = vma.objectOffset + (index - vma.start);
    return BigInt(offset) * BigInt(PAGE_SIZE) < vma.store.size();
  }
  // Addresses are numbers below: no mapping ends above 2^47, and what is rounded far beyond finds none.
  read(addr: bigint, into: Uint8Array): Status<'EFAULT'> {
    return this.#copy(Number(addr), into, false);
  }
  write(addr: bigint, from: Uint8Array): Status<'EFAULT'> {
    return this.#copy(Number(addr), from, true);
  }
  readWords(addr: number, into: Uint32Array): Status<'EFAULT'> {
    const area = this.#wordsAt(addr, into.length);
    if (!area?.readable) return this.#copy(addr, bytesOfWords(into), false);
    const words = area.words!;
    const offset = addr - area.start * PAGE_SIZE;
    for (let n = 0; n < into.length; n++) into[n] = words.getUint32(offset + n * 4, true);
    return undefined;
  }
  writeWords(addr: number, from: Uint32Array): Status<'EFAULT'> {
    const area = this.#wordsAt(addr, from.length);
    if (!area?.writable) return this.#copy(addr, bytesOfWords(from), true);
    const words = area.words!;
    const offset = addr - area.start * PAGE_SIZE;
    for (let n = 0; n < from.length; n++) words.setUint32(offset + n * 4, from[n]!, true);
    return undefined;
  }
  /** The area that holds all of these words as plain bytes of its own. */
  #wordsAt(addr: number, count: number): Area | undefined {
    const area = this.vma(Math.floor(addr / PAGE_SIZE));
    if (!area?.words) return undefined;
    return addr + count * 4 <= area.end * PAGE_SIZE ? area : undefined;
  }
  /** The bytes behind an address, as far as the mapping goes: how the program itself uses its memory. */
  view(addr: bigint, length: number): Uint8Array | undefined {
    const index = Number(addr / BigInt(PAGE_SIZE));
    const area = this.vma(index);
    if (!area?.store) return undefined;
    const offset = Number(addr - BigInt(area.start) * BigInt(PAGE_SIZE));
    if (offset + length > (area.end - area.start) * PAGE_SIZE) return undefined;
    return bytesOf(area).subarray(offset, offset + length);
  }

  #copy(first: number, bytes: Uint8Array, write: boolean): Status<'EFAULT'> {
    let done = 0;
    while (done < bytes.length) {
      const at = first + done;
      const area = this.vma(Math.floor(at / PAGE_SIZE));
      if (!area?.store) return refuse(EFAULT, 'no memory at this address', { va: hex(at) });
      if (write ? !area.writable : !area.readable) {
        return refuse(EFAULT, 'the mapping does not allow this access', { va: hex(at), write });
      }
      const offset = at - area.start * PAGE_SIZE;
      const store = bytesOf(area);
      const n = Math.min(bytes.length - done, store.length - offset);
      if (n <= 0) return refuse(EFAULT, 'beyond the end of the mapped object', { va: hex(at) });
      if (write) copyBytes(bytes, done, store, offset, n);
      else copyBytes(store, offset, bytes, done, n);
      done += n;
    }
    return undefined;
  }

  #insert(
    length: number,
    options: MapOptions,
    what: Pick<Area, 'store' | 'words' | 'object' | 'objectOffset' | 'io'>,
  ): Result<bigint, 'EINVAL' | 'ENOMEM'> {
    const pages = Math.ceil(length / PAGE_SIZE);
    if (pages === 0) return refuse(EINVAL, 'a mapping has a length');
    const start = this.#place(pages, options.address);
    if (start === undefined) return refuse(EINVAL, 'the address is not page aligned');
    const end = start + pages;
    if (end > LAST_INDEX) {
      return refuse(ENOMEM, 'the address space of a program ends at 2^47', { index: start });
    }
    if (this.#areas.some((area) => area.start < end && start < area.end)) {
      return refuse(ENOMEM, 'something is mapped there', { index: start });
    }
    this.#areas.push({
      start,
      end,
      readable: options.readable ?? true,
      writable: options.writable ?? true,
      shared: what.object !== undefined,
      huge: options.huge ?? false,
      writeback: options.writeback ?? false,
      onUnmap: options.onUnmap,
      ...what,
    });
    this.#areas.sort((a, b) => a.start - b.start);
    return BigInt(start) * BigInt(PAGE_SIZE);
  }

  /** Large mappings start at a multiple of 2 MiB, so that large pages can serve them. A page stays free in between. */
  #place(pages: number, address: bigint | undefined): number | undefined {
    if (address !== undefined) {
      return address % BigInt(PAGE_SIZE) === 0n ? Number(address / BigInt(PAGE_SIZE)) : undefined;
    }
    const align = pages >= 512 ? 512 : 1;
    const start = Math.ceil(this.#next / align) * align;
    this.#next = start + pages + 1;
    return start;
  }
}

/** Below this many bytes a loop is faster than a view and set(). */
const FEW_BYTES = 80;

function copyBytes(from: Uint8Array, at: number, to: Uint8Array, toAt: number, n: number): void {
  if (n > FEW_BYTES) to.set(from.subarray(at, at + n), toAt);
  else for (let done = 0; done < n; done++) to[toAt + done] = from[at + done]!;
}

function bytesOfWords(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** From the first byte of the area on. */
function bytesOf(area: Area): Uint8Array {
  const { store } = area;
  if (!(store instanceof SharedObject)) return store!;
  const from = area.objectOffset * PAGE_SIZE;
  return store.bytes.subarray(from, from + (area.end - area.start) * PAGE_SIZE);
}
