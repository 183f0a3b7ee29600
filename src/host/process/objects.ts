/**
 * Shared memory and files of programs, reached by a descriptor of our own.
 *
 * Such a page stays the same page for every process, after munmap, and after the process that mapped it is gone. An
 * object nobody gives us a descriptor for is reached through any process of the run that still maps it.
 */
import { EFAULT, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { HeldPages, ObjectMemory } from '../../machine/memory/process-memory.ts';
import * as libc from '../sys/libc.ts';
import { fileSystemOf, lookAt, type DescriptorLink, type FileLook } from '../sys/look.ts';
import type { MapsLine } from '../sys/map-query.ts';
import { descriptorsOf } from '../sys/procfs.ts';
import { HOST_ERRNO, MFD_HUGETLB, O_CLOEXEC, O_RDWR } from '../sys/numbers.ts';

/** File systems whose files are memory. */
const MEMORY_TYPES = ['tmpfs', 'devtmpfs', 'hugetlbfs'];
/** The name of memory that stands for huge pages (huge-pages.ts). */
export const HUGE_PREFIX = 'softiommu-huge';

const descriptors = new FinalizationRegistry<number>((fd) => libc.close(fd));

/** An object of the host, by a descriptor that is closed when nobody holds the object any more. */
export class HostObject implements ObjectMemory {
  readonly object: string;
  readonly huge: boolean;
  readonly #fd: number;

  constructor(object: string, fd: number, huge: boolean) {
    this.object = object;
    this.huge = huge;
    this.#fd = fd;
    descriptors.register(this, fd);
  }
  size(): bigint {
    return lookAt(`/proc/self/fd/${this.#fd}`)?.size ?? 0n;
  }
  read(offset: bigint, into: Uint8Array): Status<'EFAULT'> {
    if (libc.pread(this.#fd, into, offset) === into.length) return undefined;
    return refuse(EFAULT, 'the page is beyond the end of the file', { object: this.object });
  }
  write(offset: bigint, from: Uint8Array): Status<'EFAULT'> {
    // A write would make the file longer where a store to its memory faults.
    const inside = offset + BigInt(from.length) <= this.size();
    if (inside && libc.pwrite(this.#fd, from, offset) === from.length) return undefined;
    return refuse(EFAULT, 'the page is beyond the end of the file, or the file is read-only', {
      object: this.object,
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

  /** What can be pinned of a descriptor: shmem, memfd, hugetlbfs. Undefined for anything else. */
  ofDescriptor(tid: number, fd: number): HostObject | undefined {
    const link: DescriptorLink = `/proc/${tid}/fd/${fd}`;
    const look = lookAt(link);
    if (!look || !this.#isMemory(look.device, tid)) return undefined;
    return this.#get(objectOf(look), () => openBest(link));
  }

  /** memfd and anonymous shared memory, the same of huge pages, or a file where such a file system is mounted. */
  #isMemory(device: string, pid: number): boolean {
    if (device === this.#sharedDevice || device === this.#hugeDevice) return true;
    return MEMORY_TYPES.includes(fileSystemOf(device, pid) ?? '');
  }

  /** What a shared mapping shows, by the mapping itself (a privilege), or by a descriptor its process still has. */
  ofMapping(pid: number, vma: MapsLine): HostObject | undefined {
    if (vma.object === undefined) return undefined;
    return this.#get(vma.object, () => openMapping(pid, vma), vma.huge);
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
    const link = libc.readlink(`/proc/self/fd/${fd}`);
    const isHuge = huge ?? this.isHuge({ name: String(link), object });
    const made = new HostObject(object, fd, isHuge);
    this.#known.set(object, new WeakRef(made));
    return made;
  }
}

function openMapping(pid: number, vma: MapsLine): number {
  const name = `${pageHex(vma.start)}-${pageHex(vma.end)}`;
  const direct = openBest(`/proc/${pid}/map_files/${name}`);
  if (direct >= 0) return direct;
  for (const { fd, link } of descriptorsOf(pid)) {
    // A stat of every descriptor would be slow: the name in the maps is the link's text.
    if (link !== vma.name) continue;
    const path: DescriptorLink = `/proc/${pid}/fd/${fd}`;
    const look = lookAt(path);
    if (look && objectOf(look) === vma.object) return openBest(path);
  }
  return -HOST_ERRNO.ENOENT;
}
/** For writing if that is allowed: another mapping of the object may need it. */
function openBest(path: string): number {
  const fd = libc.open(path, O_RDWR | O_CLOEXEC);
  return fd >= 0 ? fd : libc.open(path, O_CLOEXEC);
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
    release: () => undefined,
  };
}

/** As /proc/PID/maps writes it: 'major:minor:inode', the first two in hex. */
export function objectOf({ device, ino }: FileLook): string {
  return `${device}:${ino}`;
}
function deviceOfMemfd(flags: number): string | undefined {
  const fd = libc.memfdCreate(HUGE_PREFIX, libc.MFD_CLOEXEC | flags);
  if (fd < 0) return undefined; // a kernel without huge pages
  const look = lookAt(`/proc/self/fd/${fd}`);
  libc.close(fd);
  return look?.device;
}
