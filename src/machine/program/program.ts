/**
 * A program inside the library: a process with its memory, files and rights, and the system calls it can make.
 *
 * It is a Task like any other: the kernel layers cannot tell it from a real process. A call that has to wait lets the
 * simulated time pass until it is answered; where nothing will ever happen it is refused with EDEADLK.
 */
import {
  EBADF,
  EDEADLK,
  EFAULT,
  EINVAL,
  EIO,
  EISDIR,
  EMFILE,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { Bug, bugOn } from '../../base/bug.ts';
import { ForeignFile, OpenFile, type Mapping } from '../../base/file.ts';
import type { Refs } from '../../base/refs.ts';
import { refuse } from '../../base/refuse.ts';
import type { Eventfd, Task } from '../../base/task.ts';
import { hex, PAGE_SIZE, U64_MAX } from '../../base/u64.ts';
import { WaitQueue, type Outcome } from '../../base/wait-queue.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import type { MachineMm } from '../memory/mm.ts';
import { removePinned } from '../memory/pin-copies.ts';
import { isOpenable, type AttrNode } from '../files/nodes.ts';
import type { FilePages } from '../memory/mm.ts';
import { ProgramEventfd } from './program-eventfd.ts';
import { ProgramMemory, SharedObject, type MapOptions } from './program-memory.ts';
import type { ObjectMemory, ProcessMemory } from '../memory/process-memory.ts';
import { PlainPages } from './shared-pages.ts';
import { tellBusError } from '../files/bus-error.ts';
import type { OpenFlags, Syscalls } from '../files/syscalls.ts';
import { MAY_READ, MAY_WRITE, type Cred } from '../files/rights.ts';
import type { NodePlace, OpenHow, Vfs } from '../files/vfs.ts';
import type { Clock } from '../../base/clock.ts';

/** Who a program runs as. */
export interface Credentials {
  /** Default 0. */
  readonly uid?: number;
  /** Default: the number of `uid`. */
  readonly gid?: number;
  /** Further groups. Default none. */
  readonly groups?: readonly number[];
  /** Capability numbers; default: all of them for uid 0, none for others. */
  readonly capabilities?: readonly number[];
  /** Bytes; default unlimited. */
  readonly rlimitMemlock?: bigint;
}

/** What a program needs of the machine it runs on. */
export interface ProgramHost {
  readonly env: Pick<KernelEnv, 'trace'>;
  readonly vfs: Vfs;
  readonly syscalls: Syscalls;
  readonly clock: Clock;
  readonly refs: Refs;
  addMm(memory: ProcessMemory): MachineMm;
  filePages(memory: ObjectMemory): FilePages;
  /** Unique for the life of the machine. */
  nextInode(): number;
}

/** An open attribute of sysfs. */
class AttrFile {
  readonly path: string;
  readonly node: AttrNode;
  readonly readable: boolean;
  readonly writable: boolean;
  constructor(path: string, node: AttrNode, { read, write }: OpenHow) {
    this.path = path;
    this.node = node;
    this.readable = read;
    this.writable = write;
  }
}
class MemfdFile {
  readonly object: SharedObject;
  readonly foreign: ForeignFile;
  constructor(object: SharedObject, pages: FilePages) {
    this.object = object;
    this.foreign = new ForeignFile(object.object, () => object.size(), pages);
  }
}
type Fd = OpenFile | AttrFile | MemfdFile | ProgramEventfd;

const MAX_FDS = 1024;

export class Program implements Task, Cred {
  readonly pid: number;
  readonly tid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly mem: ProgramMemory;
  readonly mm: MachineMm;
  readonly rlimitMemlock: bigint;
  readonly #host: ProgramHost;
  readonly #capabilities: ReadonlySet<number> | 'all';
  readonly #fds = new Map<number, Fd>();

  constructor(host: ProgramHost, pid: number, credentials: Credentials = {}) {
    this.#host = host;
    this.pid = pid;
    this.tid = pid;
    this.uid = credentials.uid ?? 0;
    this.gid = credentials.gid ?? this.uid;
    this.groups = credentials.groups ?? [];
    this.rlimitMemlock = credentials.rlimitMemlock ?? U64_MAX;
    this.mem = new ProgramMemory();
    this.mm = host.addMm(this.mem);
    host.refs.born(this, 'process', String(pid));
    const all = this.uid === 0 ? 'all' : new Set<number>();
    this.#capabilities = credentials.capabilities ? new Set(credentials.capabilities) : all;
  }

  capable(cap: number): boolean {
    return this.#capabilities === 'all' || this.#capabilities.has(cap);
  }
  getFile(fd: number): Result<OpenFile | ForeignFile, 'EBADF'> {
    const file = this.#fds.get(fd);
    if (file instanceof OpenFile) return file;
    if (file instanceof MemfdFile) return file.foreign;
    if (!file) return refuse(EBADF, 'no such file descriptor', { fd });
    return new ForeignFile(file instanceof AttrFile ? file.path : file.id, () => 0n);
  }
  installFile(file: OpenFile): Result<number, 'EMFILE'> {
    return this.#install(file);
  }
  getEventfd(fd: number): Result<Eventfd, 'EBADF' | 'EINVAL'> {
    const file = this.#fds.get(fd);
    if (!file) return refuse(EBADF, 'no such file descriptor', { fd });
    if (!(file instanceof ProgramEventfd)) return refuse(EINVAL, 'not an eventfd', { fd });
    return file;
  }

  /**
   * open(2) to read and write; a flag that is not given is, of an attribute, what this program may do with it.
   * Errnos: those of Vfs.lookup and Vfs.open; a directory is EISDIR, for readdir reads it; EMFILE.
   */
  open(path: string, flags: Partial<OpenFlags> = {}): Result<number> {
    const { vfs, syscalls } = this.#host;
    const look = () => vfs.lookup(path, { cred: this });
    const found = look();
    if (isErrno(found)) return syscalls.openRefused(this, path, found, look);
    const how = this.#howToOpen(found, flags);
    const open = () => vfs.open(found, how, this);
    const place = open();
    if (isErrno(place)) return syscalls.openRefused(this, path, place, open);
    const { node } = place;
    if (node.kind === 'dir') return refuse(EISDIR, 'a directory is read with readdir', { path });
    if (!isOpenable(node)) return this.#install(new AttrFile(place.path, node, how));
    const modes = { nonblocking: false, ...flags, read: how.read, write: how.write };
    const at = { path: place.path, flags: modes };
    return syscalls.open(this, node, at, (file) => this.#install(file));
  }
  #howToOpen({ node, path }: NodePlace, { read, write }: Partial<OpenFlags>): OpenHow {
    if (node.kind !== 'attr') return { read: read ?? true, write: write ?? node.kind !== 'dir' };
    const { vfs } = this.#host;
    const place: NodePlace<AttrNode> = { kind: 'node', node, path };
    const writes = write ?? (read === false || vfs.mayOpen(place, this, MAY_WRITE));
    return { read: read ?? (!writes || vfs.mayOpen(place, this, MAY_READ)), write: writes };
  }
  close(fd: number): Status {
    const file = this.#fds.get(fd);
    if (!file) return refuse(EBADF, 'no such file descriptor', { fd });
    this.#fds.delete(fd);
    if (file instanceof OpenFile) return this.#host.syscalls.close(this.pid, file, fd);
    if (file instanceof ProgramEventfd) file.put();
    return undefined;
  }
  dup(fd: number): Result<number> {
    const file = this.#fds.get(fd);
    if (!file) return refuse(EBADF, 'no such file descriptor', { fd });
    if (file instanceof OpenFile || file instanceof ProgramEventfd) file.get();
    return this.#install(file);
  }
  ioctl(fd: number, request: number | bigint, arg = 0n): Result<number> {
    const file = this.#open(fd);
    if (isErrno(file)) return file;
    return this.#wait(() => this.#host.syscalls.ioctl(this, file, BigInt(request), arg, fd));
  }
  /** pread(2) with an offset, read(2) without. */
  read(fd: number, into: Uint8Array, offset?: bigint): Result<number> {
    const file = this.#fds.get(fd);
    if (file instanceof ProgramEventfd) return this.#wait(() => file.read(into));
    if (file instanceof AttrFile) {
      if (!file.readable) return refuse(EBADF, 'the attribute was not opened for reading', { fd });
      const text = this.#host.syscalls.readAttr(this, file.path, file.node);
      return isErrno(text) ? text : copyPart(text, into, offset ?? 0n);
    }
    const open = this.#open(fd);
    if (isErrno(open)) return open;
    return this.#wait(() => this.#host.syscalls.read(this, open, into, offset, fd));
  }
  write(fd: number, from: Uint8Array, offset?: bigint): Result<number> {
    const file = this.#fds.get(fd);
    if (file instanceof ProgramEventfd) return file.write(from);
    if (file instanceof AttrFile) {
      if (!file.writable) return refuse(EBADF, 'the attribute was not opened for writing', { fd });
      const at = Number(offset ?? 0n);
      const { path, node } = file;
      return this.#wait(() => this.#host.syscalls.writeAttr(this, path, node, from, at));
    }
    const open = this.#open(fd);
    if (isErrno(open)) return open;
    return this.#wait(() => this.#host.syscalls.write(this, open, from, offset, fd));
  }

  /** Anonymous memory when no fd is given; the address of the mapping. */
  mmap(
    length: number,
    options: MapOptions & { fd?: number; offset?: bigint } = {},
  ): Result<bigint> {
    if (options.fd === undefined) return this.mem.map(length, options);
    const offset = options.offset ?? 0n;
    const file = this.#fds.get(options.fd);
    if (file instanceof MemfdFile) {
      return this.mem.mapShared(file.object, Number(offset), length, options);
    }
    const open = this.#open(options.fd);
    if (isErrno(open)) return open;
    const request = {
      offset,
      length: BigInt(length),
      read: options.readable ?? true,
      write: options.writable ?? true,
      exec: false,
      shared: true,
    };
    const mapping = this.#host.syscalls.mmap(this, open, request, options.fd);
    return isErrno(mapping) ? mapping : this.#mapDevice(open, mapping, length, options);
  }
  munmap(address: bigint, length: number): Status {
    const first = Math.floor(Number(address) / PAGE_SIZE);
    const removal = this.mm.removal(first, Math.ceil(length / PAGE_SIZE));
    const rc = this.mem.unmap(address, length);
    if (!rc && removal)
      removePinned(this.#host.env.trace, [removal], { by: 'munmap', pid: this.pid });
    return rc;
  }
  /** A load of the program itself, from memory or registers. EFAULT: SIGSEGV or SIGBUS. */
  load(address: bigint, width: number): Result<bigint> {
    const io = this.#registers(address);
    if (io) {
      if (io.window.accessible?.() === false) return this.#sigbus(address, io.window);
      return this.#host.syscalls.load(this.pid, io.window, io.offset, width);
    }
    const bytes = new Uint8Array(width);
    const rc = this.mem.read(address, bytes);
    return rc ?? bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }
  store(address: bigint, width: number, value: bigint): Status {
    const io = this.#registers(address);
    if (io) {
      if (io.window.accessible?.() === false) return this.#sigbus(address, io.window);
      return this.#host.syscalls.store(this.pid, io.window, io.offset, width, value);
    }
    const bytes = Uint8Array.from({ length: width }, (_, n) =>
      Number((value >> BigInt(8 * n)) & 0xffn),
    );
    return this.mem.write(address, bytes);
  }

  eventfd(initial = 0n): Result<number> {
    return this.#install(new ProgramEventfd(`eventfd ${this.#host.nextInode()}`, initial));
  }
  memfd(length: number, huge = false): Result<number> {
    const object = new SharedObject(`memfd:${this.#host.nextInode()}`, length, huge);
    return this.#install(new MemfdFile(object, this.#host.filePages(object)));
  }

  readdir(path: string): Result<string[]> {
    const { vfs } = this.#host;
    const found = vfs.lookup(path, { cred: this });
    if (isErrno(found)) return found;
    const place = vfs.open(found, { read: true, write: false, directory: true }, this);
    if (isErrno(place)) return place;
    if (place.node.kind !== 'dir') throw new Bug(`${path} was opened as a directory`);
    return [...place.node.entries()].map(([name]) => name);
  }
  readlink(path: string): Result<string> {
    const found = this.#host.vfs.lookup(path, { cred: this, follow: false });
    if (isErrno(found)) return found;
    return found.node.kind === 'link'
      ? found.node.target()
      : refuse(EINVAL, 'not a link', { path });
  }
  realpath(path: string): Result<string> {
    const found = this.#host.vfs.lookup(path, { cred: this });
    return isErrno(found) ? found : found.path;
  }

  /** Every file is closed, the memory is gone. */
  exit(): void {
    for (const fd of [...this.#fds.keys()]) {
      const rc = this.close(fd);
      bugOn(rc !== undefined && rc !== EIO, 'an open file could not be closed');
    }
    this.mm.keepForEnd(); // another program may have the files this one pinned memory for
    if (this.mm.alive) this.#host.refs.gone(this, 'process', String(this.pid));
    this.mem.exit();
    this.mm.exit();
  }
  get openFds(): number {
    return this.#fds.size;
  }

  #open(fd: number): Result<OpenFile, 'EBADF'> {
    const file = this.#fds.get(fd);
    return file instanceof OpenFile ? file : refuse(EBADF, 'not an open device', { fd });
  }
  #install(file: Fd): Result<number, 'EMFILE'> {
    let fd = 3;
    while (this.#fds.has(fd)) fd++;
    if (fd >= MAX_FDS) return refuse(EMFILE, 'the program has no free file descriptor');
    this.#fds.set(fd, file);
    return fd;
  }
  #wait<T>(call: () => Outcome<Result<T>>): Result<T> {
    for (;;) {
      const out = call();
      if (!(out instanceof WaitQueue)) return out;
      const next = this.#host.clock.nextEventNs;
      if (next === undefined) {
        this.#host.syscalls.giveUp(this.tid, EDEADLK);
        const why = out.why?.();
        const facts = why && { waitsFor: why.rule, ...why.facts };
        return refuse(EDEADLK, 'the call would wait for ever', facts);
      }
      this.#host.clock.advanceTo(next);
    }
  }
  #mapDevice(
    file: OpenFile,
    mapping: Mapping,
    length: number,
    options: MapOptions,
  ): Result<bigint> {
    if (mapping.kind === 'mmio') {
      return this.mem.mapRegisters(mapping.window, mapping.start, length, options);
    }
    const { pages, start } = mapping;
    // As long as it lasts the mapping keeps the file open.
    file.get();
    const onUnmap = (): void => {
      mapping.close();
      const rc = this.#host.syscalls.close(this.pid, file);
      bugOn(rc !== undefined && rc !== EIO, 'a mapped file could not be closed');
    };
    const mapped =
      pages instanceof PlainPages
        ? this.mem.mapShared(pages.object, start, length, { ...options, onUnmap })
        : refuse(EINVAL, 'these pages belong to another process of the host');
    if (isErrno(mapped)) onUnmap();
    return mapped;
  }
  #registers(address: bigint): { window: Windowed; offset: number } | undefined {
    const area = this.mem.vma(Number(address / BigInt(PAGE_SIZE)));
    if (!area?.io) return undefined;
    const offset = area.io.offset + Number(address - BigInt(area.start) * BigInt(PAGE_SIZE));
    return { window: area.io.window, offset };
  }
  #sigbus(address: bigint, window: Windowed): ReturnType<typeof refuse<typeof EFAULT>> {
    tellBusError(this.#host.env.trace, { pid: this.pid, address, window });
    return refuse(EFAULT, 'SIGBUS: memory decoding of the device is off', { va: hex(address) });
  }
}

type Windowed = Extract<Mapping, { kind: 'mmio' }>['window'];

function copyPart(text: Uint8Array, into: Uint8Array, offset: bigint): number {
  const part = text.subarray(Number(offset), Number(offset) + into.length);
  into.set(part);
  return part.length;
}
