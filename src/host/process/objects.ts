/**
 * Shared memory and files of programs, reached by a descriptor of our own.
 *
 * Such a page stays the same page for every process, after munmap, and after the process that mapped it is gone. An
 * object nobody gives us a descriptor for is reached through any process of the run that still maps it.
 *
 * We may have more rights than the program. So an object is opened for writing only where a program has shown the same
 * right, by a writable shared mapping or a descriptor for writing, and what is opened is looked at again: another thread
 * may have put something else in its place.
 */
import { EFAULT, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { Shortage } from '../../base/shortage.ts';
import type {
  HeldPages,
  ManyPlaces,
  ObjectMemory,
  PlaceList,
} from '../../machine/memory/process-memory.ts';
import { FileView } from '../sys/file-view.ts';
import * as libc from '../sys/libc.ts';
import { lookAt, objectOf, type DescriptorLink, type FileLink } from '../sys/look.ts';
import type { MapsLine } from '../sys/map-query.ts';
import { fileSystemOf } from '../sys/mounts.ts';
import { isSealedForWriting } from '../sys/open-file-description.ts';
import { textOf } from '../sys/procfs.ts';
import { orShortage } from '../sys/shortage.ts';
import {
  HOST_ERRNO,
  MFD_HUGETLB,
  O_ACCMODE,
  O_CLOEXEC,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from '../sys/numbers.ts';
import { callLook } from './call-look.ts';
import { deviceOfMemfd, mayBeServed } from './file-systems.ts';
import { namedDescriptors } from './named-descriptors.ts';
import { endViews, ownView } from './object-views.ts';

/** File systems whose files are memory. */
const MEMORY_TYPES = ['tmpfs', 'devtmpfs', 'hugetlbfs'];
/** The name of memory that stands for huge pages (huge-pages.ts). */
export const HUGE_PREFIX = 'softiommu-huge';

const descriptors = new FinalizationRegistry<number>((fd) => libc.close(fd));

/** An object of the host, by descriptors that are closed when nobody holds the object any more. */
export class HostObject implements ObjectMemory, ManyPlaces {
  readonly object: string;
  readonly huge: boolean;
  readonly #fd: number;
  #writer: number | undefined;
  /** Made when it is first needed. Of an object that is sealed against writes to come only it can be written. */
  #view: FileView | undefined;

  /** `fd` is for reading. */
  constructor(object: string, fd: number, huge: boolean) {
    this.object = object;
    this.huge = huge;
    this.#fd = fd;
    descriptors.register(this, fd);
  }
  /** A program has shown that it may write the object: so may we, through this. False: a seal is before it. */
  adoptWriter(fd: number): boolean {
    if (this.#writer === undefined) {
      this.#writer = fd;
      descriptors.register(this, fd);
    } else libc.close(fd);
    return this.isWritable;
  }
  /** Do our writes reach the object? Through a seal only what was mapped before it does. */
  get isWritable(): boolean {
    if (this.#writer === undefined) return false;
    const view = this.#current;
    return view?.isWritable === true || !isSealedForWriting(this.#writer);
  }
  /** Before it is sealed against writes to come. */
  keepWritable(): void {
    if (this.isWritable) this.#look(true);
  }
  get #current(): FileView | undefined {
    return this.#view?.ended === true ? undefined : this.#view;
  }
  /** A view that shows all there is now, if one is to be had. */
  #look(write: boolean): FileView | undefined {
    const view = this.#current;
    const length = Number(this.size());
    if (view && view.length >= length && (view.isWritable || !write)) return view;
    const made = this.#map(length, write);
    // Sealed meanwhile, the shorter one is the only one that can be written.
    if (!made || (view?.isWritable === true && !made.isWritable)) {
      made?.end();
      return view;
    }
    ownView(this, this.object, { view: made, before: view });
    this.#view = made;
    return made;
  }
  #map(length: number, write: boolean): FileView | undefined {
    const writer = this.#writer;
    const made = writer === undefined ? undefined : FileView.of(writer, length, true);
    return made ?? (write ? undefined : FileView.of(this.#fd, length, false));
  }
  get many(): ManyPlaces {
    return this;
  }
  /** By the view; read() and write() are the slow way, and go on where it ends. */
  copy(list: PlaceList, write: boolean): number {
    if (write) callLook.drop();
    const view = this.#current;
    const isFit = view && (view.isWritable || !write);
    const moved = (isFit ? view : this.#look(write))?.copy(list, write) ?? 0;
    if (isFit && moved < list.bytes.length) this.#look(write); // it may have grown
    return moved;
  }
  size(): bigint {
    return lookAt(ourLink(this.#fd))?.size ?? 0n;
  }
  read(offset: bigint, into: Uint8Array): Status<'EFAULT'> {
    if (libc.pread(this.#fd, into, offset) === into.length) return undefined;
    return refuse(EFAULT, 'the page is beyond the end of the file', { object: this.object });
  }
  write(offset: bigint, from: Uint8Array): Status<'EFAULT'> {
    callLook.drop();
    const { object } = this;
    if (this.#writer === undefined) {
      return refuse(EFAULT, 'no program has shown that it may write the file', { object });
    }
    // A write would make the file longer where a store to its memory faults.
    const inside = offset + BigInt(from.length) <= this.size();
    if (inside && libc.pwrite(this.#writer, from, offset) === from.length) return undefined;
    if (inside && this.#current?.copy(onePlace(offset, from), true) === from.length)
      return undefined;
    return refuse(EFAULT, 'the page is beyond the end of the file, or the file is sealed', {
      object,
    });
  }
}

/** Objects behind shared mappings, and the descriptors we have of them. */
export class HostObjects {
  readonly #known = new Map<string, WeakRef<HostObject>>();
  /** An object is one of huge pages when it lives on the kernel's own hugetlbfs mount. */
  readonly #hugeDevice = deviceOfMemfd(MFD_HUGETLB);
  readonly #sharedDevice = deviceOfMemfd(0);

  /** Is this memory made of huge pages, or does it stand for such? */
  isHuge({ name, object }: { name: string; object: string | undefined }): boolean {
    if (name.startsWith('/anon_hugepage') || name.startsWith(`/memfd:${HUGE_PREFIX}`)) return true;
    return object !== undefined && object.startsWith(`${this.#hugeDevice ?? 'none'}:`);
  }

  /**
   * What can be pinned of a descriptor: shmem, memfd, hugetlbfs. Undefined for anything else, and for what was not opened to
   * be read: the program may not read it, so no device reads it for it.
   */
  ofDescriptor(tid: number, fd: number): PinnableFile | undefined {
    const link: DescriptorLink = `/proc/${tid}/fd/${fd}`;
    const shown = openedAs(tid, fd);
    if (!shown || !isForReading(shown.flags)) return undefined;
    const look = lookAt(link);
    // Another thread may have put another file there meanwhile.
    if (look?.file !== shown.file || !this.#isMemory(look.device, tid)) return undefined;
    const name = objectOf(look);
    const object = this.#get(name, () => openObject(link, O_RDONLY, name));
    return object && { object, writable: showsWriter(object, tid, fd) };
  }

  /** memfd and anonymous shared memory, the same of huge pages, or a file where such a file system is mounted. */
  #isMemory(device: string, pid: number): boolean {
    if (device === this.#sharedDevice || device === this.#hugeDevice) return true;
    return MEMORY_TYPES.includes(fileSystemOf(device, pid) ?? '');
  }

  /**
   * What a shared mapping shows, by the mapping itself (a privilege), or by a descriptor its process still has. With `write`
   * the mapping is writable, and so is the result.
   */
  ofMapping(pid: number, vma: MapsLine, write: boolean): HostObject | undefined {
    if (vma.object === undefined) return undefined;
    const object = this.#get(vma.object, () => openFirst(pid, vma), vma.huge);
    if (!object || !write || object.isWritable) return object;
    const writer = openMapping(pid, vma, O_RDWR);
    if (writer < 0) return undefined;
    return object.adoptWriter(writer) ? object : undefined;
  }
  /** What devices write now they go on writing, when the object is sealed against writes to come. */
  keepWritable(object: string): void {
    this.#known.get(object)?.deref()?.keepWritable();
  }
  /** Before it is sealed against writing. */
  unmap(object: string): void {
    endViews(object);
  }

  /** Memory that is reached through the processes that map it, because no descriptor of it was to be had. */
  readonly #mappedOnly = new Map<string, number>();
  get someMappedOnly(): boolean {
    return this.#mappedOnly.size > 0;
  }
  isMappedOnly(object: string): boolean {
    return this.#mappedOnly.has(object);
  }
  /** The result ends it. */
  mappedOnly(object: string): () => void {
    this.#mappedOnly.set(object, (this.#mappedOnly.get(object) ?? 0) + 1);
    return () => {
      const left = this.#mappedOnly.get(object)! - 1;
      if (left > 0) this.#mappedOnly.set(object, left);
      else this.#mappedOnly.delete(object);
    };
  }

  #get(object: string, open: () => number, huge?: boolean): HostObject | undefined {
    const known = this.#known.get(object)?.deref();
    if (known) return known;
    const fd = open();
    if (fd < 0) return undefined;
    const link = libc.readlink(ourLink(fd));
    const isHuge = huge ?? this.isHuge({ name: String(link), object });
    const made = new HostObject(object, fd, isHuge);
    this.#known.set(object, new WeakRef(made));
    return made;
  }
}

/**
 * Negative for a file of FUSE: to open it is a question to its server, which may be a program that waits for us. Asked
 * once of an object, not of each of its pages: what is known has been opened.
 */
function openFirst(pid: number, vma: MapsLine): number {
  const device = vma.object!.slice(0, vma.object!.lastIndexOf(':'));
  return mayBeServed(pid, device) ? -HOST_ERRNO.ENOENT : openMapping(pid, vma, O_RDONLY);
}

/** What a descriptor gives to pin. */
export interface PinnableFile {
  readonly object: HostObject;
  /** It is for writing, and so is the object. */
  readonly writable: boolean;
}

function isForReading(flags: number): boolean {
  return (flags & O_PATH) === 0 && (flags & O_ACCMODE) !== O_WRONLY;
}
/** Is this descriptor of an object for writing? Then the object is, too. */
function showsWriter(object: HostObject, tid: number, fd: number): boolean {
  const shown = openedAs(tid, fd);
  if (!shown || (shown.flags & O_ACCMODE) === O_RDONLY) return false;
  const writer = openObject(`/proc/${tid}/fd/${fd}`, O_RDWR, object.object);
  if (writer < 0) return false;
  const isSame = openedAs('self', writer)?.file === shown.file;
  if (isSame) object.adoptWriter(writer);
  else libc.close(writer);
  return isSame;
}
/** What a descriptor is open for, and on which file: one text, so that both are of the same moment. */
function openedAs(tid: number | 'self', fd: number): { flags: number; file: string } | undefined {
  const text = textOf(`/proc/${tid}/fdinfo/${fd}`);
  const [, flags] = /^flags:\s*(\d+)/m.exec(text) ?? [];
  const [, mount] = /^mnt_id:\s*(\d+)/m.exec(text) ?? [];
  const [, inode] = /^ino:\s*(\d+)/m.exec(text) ?? [];
  if (flags === undefined || mount === undefined || inode === undefined) return undefined;
  return { flags: Number.parseInt(flags, 8), file: `${mount}:${inode}` };
}

function openMapping(pid: number, vma: MapsLine, access: number): number {
  const object = vma.object!;
  const name = `${pageHex(vma.start)}-${pageHex(vma.end)}`;
  const direct = openObject(`/proc/${pid}/map_files/${name}`, access, object);
  if (direct >= 0) return direct;
  // A stat of every descriptor would be slow: the name in the maps is the link's text.
  for (const fd of namedDescriptors.of(pid, vma.name)) {
    const opened = openObject(`/proc/${pid}/fd/${fd}`, access, object);
    if (opened >= 0) return opened;
  }
  return -HOST_ERRNO.ENOENT;
}
/**
 * What a link of /proc leads to, if that is this object: a regular file, which opens without waiting and without effect. What
 * is looked at is what is opened, for another thread may put something else behind the link, whose open we have the right to and
 * the program has not: so it is named first, which does nothing.
 */
function openObject(link: FileLink, access: number, object: string): number {
  const named = libc.open(link, O_PATH | O_CLOEXEC);
  if (named < 0) return named;
  const isIt = isObject(ourLink(named), object);
  const fd = isIt
    ? orShortage(() => libc.open(ourLink(named), access | O_CLOEXEC | O_NONBLOCK))
    : -HOST_ERRNO.ENOENT;
  libc.close(named);
  if (fd instanceof Shortage) throw fd;
  return fd;
}
function isObject(link: FileLink, object: string): boolean {
  const look = lookAt(link);
  return look !== undefined && look.isRegular && objectOf(look) === object;
}
function onePlace(offset: bigint, bytes: Uint8Array): PlaceList {
  return { bytes, places: [Number(offset)], lengths: [bytes.length] };
}
function ourLink(fd: number): DescriptorLink {
  return `/proc/self/fd/${fd}`;
}
function pageHex(index: number): string {
  return `${index.toString(16)}000`;
}

/** Pages of an object by descriptor: they stay what they are. */
export function holdObject(object: HostObject, firstPage: number): HeldPages {
  const at = (page: number, offset: number): bigint =>
    (BigInt(firstPage + page) << 12n) + BigInt(offset);
  return {
    read: (page, offset, into) => object.read(at(page, offset), into),
    write: (page, offset, from) => object.write(at(page, offset), from),
    many: { memory: object, base: Number(at(0, 0)) },
    release: () => undefined,
  };
}
