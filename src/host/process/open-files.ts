/**
 * Which of our open files is behind a descriptor of a program.
 *
 * Each open file is an empty memfd of its own in the program: readlink(/proc/PID/fd/N) tells it through dup, fork and
 * SCM_RIGHTS, and inotify tells its last close, mappings included. A program may call a memfd of its own the same, so what
 * the link leads to has to be that file as well. Loads and stores to a mapping of it fault, since the
 * file has no bytes and is sealed against getting any. A read or write that is not trapped is EINVAL or EPERM, never a
 * success. An event queue is a pipe instead, so that poll(2) and epoll work natively on it.
 */
import { randomUUID } from 'node:crypto';
import type { MmioWindow, OpenFile } from '../../base/file.ts';
import { Shortage } from '../../base/shortage.ts';
import type { Vma } from '../../machine/memory/process-memory.ts';
import type { AttrNode } from '../../machine/files/nodes.ts';
import { descriptionLives, refuseReadAndWrite, seal, SEAL } from '../sys/open-file-description.ts';
import type { LentMemory } from './lent-memory.ts';
import * as libc from '../sys/libc.ts';
import { lookAt, objectOf, type DescriptorLink, type FileLink } from '../sys/look.ts';
import type { MapsLine } from '../sys/map-query.ts';
import { HOST_ERRNO, O_ACCMODE, O_CLOEXEC, O_NONBLOCK, O_RDWR, O_WRONLY } from '../sys/numbers.ts';
import { memfdWith } from '../sys/memfd.ts';
import { orShortage } from '../sys/shortage.ts';

const NOTHING = new Uint8Array(0);
/** Events in a row that are told one by one; then a byte stands for all of them. */
const MOST_EDGES = 1024;

/** A descriptor of a program that is ours. */
export type OpenEntry = FileEntry | AttrEntry;

interface EntryBase {
  /** What readlink of /proc/PID/fd/N says. */
  readonly link: string;
  /** What it is: as /proc/PID/maps writes it. */
  readonly object: string;
  readonly watch: number;
}
/** An open file of the simulated kernel. */
export interface FileEntry extends EntryBase {
  readonly kind: 'file';
  readonly file: OpenFile;
  /** Registers this file's mappings show, by page offset in the file. */
  readonly windows: RegisterMapping[];
  /** Our own end of an event queue's pipe. */
  readonly readiness?: Readiness;
}
/** An open sysfs attribute: its text as it was at the open; writes are calls. */
export interface AttrEntry extends EntryBase {
  readonly kind: 'attr';
  readonly path: string;
  readonly node: AttrNode;
  readonly writable: boolean;
  position: number;
}
/** One mmap of memory of ours, and what became of it by fork and by cutting. */
export interface SharedMapping {
  /** A descriptor of ours of the memory, and the mark of the description it was mapped through. */
  readonly fd: number;
  readonly mark: number;
  /** Its file, as /proc/PID/maps tells of it. */
  readonly object: string;
  closed(): void;
}
/** The mappings of one file. */
interface MappedFile {
  readonly mappings: Set<SharedMapping>;
  /** One was closed, perhaps, since each was asked. */
  isAsked: boolean;
}
/** A mapping of registers, as pages of its file. */
export interface RegisterMapping {
  readonly firstPage: number;
  readonly endPage: number;
  readonly window: MmioWindow;
  /** Byte of the window at `firstPage`. */
  readonly start: number;
}

/** A page of a window that is memory. */
function lentAt(window: MmioWindow, offset: number): Vma['io'] {
  const storesFault = window.lends?.shadow.some(
    (range) => offset >= range.offset && offset < range.offset + range.length,
  );
  return { window, offset, ...(storesFault && { storesFault }) };
}
/** Of what it was opened. */
export function nameOf(entry: OpenEntry): string {
  return entry.kind === 'file' ? entry.file.name : entry.path;
}
/** A descriptor to give to a program. The caller closes `fd` when the program has its copy. */
export interface Opened<E extends OpenEntry> {
  readonly fd: number;
  readonly entry: E;
}

/** Memory of a device that programs have mapped. */
interface Lent {
  readonly memory: LentMemory;
  readonly window: MmioWindow;
}

/** The mappings whose end no event tells: each is asked before each call. */
const UNWATCHED = -1;

/** What the descriptors of programs stand for. */
export class OpenFiles {
  readonly inotify = libc.inotifyInit();
  readonly #byLink = new Map<string, OpenEntry>();
  readonly #byWatch = new Map<number, OpenEntry>();
  /** Memory of ours that programs have mapped, by the watch of its file. */
  readonly #mapped = new Map<number, MappedFile>();
  /** Memory of devices that programs map as it is, by their files. */
  readonly #lent = new Map<string, Lent>();
  readonly #released: (entry: OpenEntry) => void;
  /** Of the names of our files. Programs of other runs have files of ours too, and theirs are others. */
  readonly #prefix = `softiommu:${randomUUID().slice(0, 8)}:`;
  #seq = 0;
  #hasRegisters = false;
  #mustAsk = false;

  constructor(released: (entry: OpenEntry) => void) {
    this.#released = released;
  }

  /**
   * An open file description for `file`, of the access mode in `flags`: what fcntl(F_GETFL) says and a mapping asks for. Minus
   * an errno when the host refuses it. Throws Shortage.
   */
  create(file: OpenFile, flags = O_RDWR): Opened<FileEntry> | number {
    if (file.ops.stream) return this.#createStream(file);
    const made = this.#memfd(flags & O_ACCMODE, { seals: SEAL.grow | SEAL.shrink });
    if (typeof made === 'number') return made;
    refuseReadAndWrite(made.fd);
    const entry: FileEntry = { kind: 'file', file, windows: [], ...made.at };
    return this.#publish(made.fd, entry);
  }

  /** A copy of an attribute's text. */
  createAttr(
    attr: { path: string; node: AttrNode; flags: number },
    text: Uint8Array,
  ): Opened<AttrEntry> | number {
    const access = attr.flags & O_ACCMODE;
    const seals = SEAL.grow | SEAL.shrink | SEAL.write;
    const made = this.#memfd(access, { seals, content: text });
    if (typeof made === 'number') return made;
    const { path, node } = attr;
    const writable = access === O_WRONLY || access === O_RDWR;
    const entry: AttrEntry = { kind: 'attr', path, node, writable, position: 0, ...made.at };
    return this.#publish(made.fd, entry);
  }

  /** The entry behind a descriptor of a thread; undefined when it is not ours. */
  of(tid: number, fd: number): OpenEntry | undefined {
    return this.at(`/proc/${tid}/fd/${fd}`);
  }
  /** The same; `link` is the text of that link, or minus an errno. `object`: which file it is, where that is known. */
  at(
    descriptor: FileLink,
    link: string | number = libc.readlink(descriptor),
    object?: string,
  ): OpenEntry | undefined {
    const entry = typeof link === 'number' ? undefined : this.#byLink.get(link);
    if (!entry) return undefined;
    return (object ?? objectAt(descriptor)) === entry.object ? entry : undefined;
  }

  /** Registers at the first page of a mapping, as /proc/PID/maps tells of it. */
  readonly windowOf = ({
    name,
    object,
    objectOffset: page,
  }: Pick<MapsLine, 'name' | 'object' | 'objectOffset'>): Vma['io'] => {
    const lent = this.#lent.get(object ?? '');
    if (lent) return lentAt(lent.window, page * 4096);
    const entry = name.startsWith(`/memfd:${this.#prefix}`) ? this.#byLink.get(name) : undefined;
    if (entry?.kind !== 'file' || entry.object !== object) return undefined;
    const found = entry.windows.find((map) => page >= map.firstPage && page < map.endPage);
    return found && { window: found.window, offset: found.start + (page - found.firstPage) * 4096 };
  };

  /** A program is about to map registers of an open file. */
  addWindow(entry: FileEntry, mapping: RegisterMapping): void {
    const { firstPage, endPage } = mapping;
    this.#hasRegisters = true;
    if (entry.windows.some((w) => w.firstPage === firstPage && w.endPage === endPage)) return;
    entry.windows.push(mapping);
  }

  /** Programs map memory of a device, until it is forgotten. */
  addLent(memory: LentMemory, window: MmioWindow): void {
    const { file } = memory;
    if (file) this.#lent.set(file.object, { memory, window });
  }
  /** Is what is mapped memory now, which the host's kernel itself can copy? */
  isMemory({ object, io }: Pick<MapsLine, 'object' | 'io'>): boolean {
    return !io?.storesFault && this.#lent.get(object ?? '')?.memory.isLent === true;
  }
  forgetLent({ file }: LentMemory): void {
    if (file) this.#lent.delete(file.object);
  }

  /** A mark for the description a program is about to map shared memory through. */
  newMark(): number {
    return ++this.#seq;
  }
  /** `closed` when every mapping made through the marked description is gone. */
  watchMapping(mapping: SharedMapping): void {
    const watch = this.#watchMapped(mapping.fd);
    const file = this.#mapped.get(watch) ?? { mappings: new Set(), isAsked: true };
    this.#mapped.set(watch, file);
    file.mappings.add(mapping);
    this.#ask(file); // it may be gone again, from before it was watched
  }
  #watchMapped(fd: number): number {
    const watch = orShortage(() => libc.watchClose(this.inotify, `/proc/self/fd/${fd}`));
    return watch instanceof Shortage || watch < 0 ? UNWATCHED : watch;
  }
  #ask(file: MappedFile): void {
    file.isAsked = true;
    this.#mustAsk = true;
  }
  /** Two unmappings can give one event of inotify, so each mapping of the file is asked. */
  #askMappings(): void {
    this.#mustAsk = this.#mapped.has(UNWATCHED);
    for (const [watch, file] of this.#mapped) {
      if (!file.isAsked) continue;
      file.isAsked = watch === UNWATCHED;
      for (const mapping of file.mappings) {
        if (descriptionLives(mapping.fd, mapping.mark)) continue;
        file.mappings.delete(mapping);
        if (file.mappings.size === 0) this.#unwatchMapped(watch);
        mapping.closed();
      }
    }
  }
  /** Has any program mapped memory that is not its own? */
  get hasMappings(): boolean {
    return this.#mapped.size > 0;
  }
  /** Is what is mapped such memory? */
  isShared({ object }: Pick<MapsLine, 'object'>): boolean {
    for (const { mappings } of this.#mapped.values()) {
      for (const mapping of mappings) if (mapping.object === object) return true;
    }
    return false;
  }
  #unwatchMapped(watch: number): void {
    this.#mapped.delete(watch);
    if (watch !== UNWATCHED) libc.unwatch(this.inotify, watch);
  }

  /** What no program was given, nor will be: whoever made it releases it. Its descriptor is the caller's to close. */
  withdraw(entry: OpenEntry): void {
    this.#remove(entry);
  }
  /** Release what programs have closed for the last time. Done before each call, so that the order is theirs. */
  drainCloses(): void {
    let short: Shortage | undefined;
    for (const { watch, gone } of libc.readInotify(this.inotify)) {
      const entry = gone ? this.#byWatch.get(watch) : undefined;
      const rc = entry && orShortage(() => this.#forget(entry));
      if (rc instanceof Shortage) short ??= rc; // the next close is told once, too
      const mapped = gone ? this.#mapped.get(watch) : undefined;
      if (mapped) this.#ask(mapped);
    }
    if (short) throw short;
    if (this.#mustAsk) this.#askMappings();
  }
  /** At the end of the run: everything still open is released. */
  closeAll(): void {
    for (const entry of [...this.#byLink.values()]) this.#forget(entry);
    for (const { mappings } of this.#mapped.values()) {
      for (const mapping of mappings) mapping.closed();
    }
    this.#mapped.clear();
    libc.close(this.inotify);
  }
  /** Is drainCloses() wanted before the next call though no close is told of: has a mapping to be asked? */
  get mustAsk(): boolean {
    return this.#mustAsk;
  }
  /** Has any program mapped registers? */
  get hasRegisters(): boolean {
    return this.#hasRegisters;
  }
  get count(): number {
    return this.#byLink.size;
  }

  #forget(entry: OpenEntry): void {
    this.#remove(entry);
    this.#released(entry);
  }
  #remove(entry: OpenEntry): void {
    this.#byLink.delete(entry.link);
    this.#byWatch.delete(entry.watch);
    libc.unwatch(this.inotify, entry.watch);
    if (entry.kind === 'file') entry.readiness?.close();
  }

  #publish<E extends OpenEntry>(fd: number, entry: E): Opened<E> {
    this.#byLink.set(entry.link, entry);
    this.#byWatch.set(entry.watch, entry);
    return { fd, entry };
  }

  /** The first descriptor of a memfd is closed before the watch is set: its close must not be taken for the program's. */
  #memfd(access: number, how: { seals: number; content?: Uint8Array }): Made | number {
    const first = memfdWith(
      `${this.#prefix}${++this.#seq}`,
      how.content ?? NOTHING,
      libc.MFD_CLOEXEC | libc.MFD_ALLOW_SEALING,
    );
    if (first < 0) return first;
    seal(first, how.seals);
    const fd = orShortage(() => libc.open(`/proc/self/fd/${first}`, access | O_CLOEXEC));
    libc.close(first);
    if (fd instanceof Shortage) throw fd;
    return this.#watched(fd);
  }

  #watched(fd: number): Made | number {
    if (fd < 0) return fd;
    const path: DescriptorLink = `/proc/self/fd/${fd}`;
    const link = libc.readlink(path);
    const look = lookAt(path);
    const watch = orShortage(() => libc.watchClose(this.inotify, path));
    if (typeof link === 'number' || !look || watch instanceof Shortage || watch < 0) {
      libc.close(fd);
      if (watch instanceof Shortage) throw watch;
      if (typeof link === 'number') return link;
      return watch < 0 ? watch : -HOST_ERRNO.ENOENT;
    }
    return { fd, at: { link, object: objectOf(look), watch } };
  }

  #createStream(file: OpenFile): Opened<FileEntry> | number {
    const ends = libc.pipe2(O_CLOEXEC | O_NONBLOCK);
    if (typeof ends === 'number') return ends;
    const blocking = file.nonblocking ? O_NONBLOCK : 0;
    const path = `/proc/self/fd/${ends[0]}`;
    // What cannot be written is never ready for it, and a write that is not trapped must not fill the pipe.
    const access = file.ops.write ? O_RDWR : 0;
    const made = orShortage(() => this.#watched(libc.open(path, access | O_CLOEXEC | blocking)));
    if (typeof made === 'number' || made instanceof Shortage) {
      ends.forEach(libc.close);
      if (made instanceof Shortage) throw made;
      return made;
    }
    const readiness = new Readiness(file, ends);
    const entry: FileEntry = { kind: 'file', file, windows: [], readiness, ...made.at };
    return this.#publish(made.fd, entry);
  }
}

function objectAt(link: FileLink): string | undefined {
  const look = lookAt(link);
  return look && objectOf(look);
}

interface Made {
  readonly fd: number;
  readonly at: EntryBase;
}

/**
 * Makes a pipe readable exactly while the event queue has something to read.
 *
 * A new event is a byte more, because epoll's edges come with writes: whoever waits for an edge hears of each event, also
 * when older ones are still unread.
 */
export class Readiness {
  readonly #file: OpenFile;
  readonly #ends: readonly [number, number];
  readonly #bytes = Buffer.alloc(MOST_EDGES);
  /** Bytes in the pipe. */
  #shown = 0;
  #cancel: (() => void) | undefined;

  constructor(file: OpenFile, ends: readonly [number, number]) {
    this.#file = file;
    this.#ends = ends;
    this.update();
  }
  /** After a read: nothing new has come. */
  update(): void {
    this.#look(false);
  }
  #look(woken: boolean): void {
    this.#cancel?.();
    const state = this.#file.ops.poll?.(this.#file);
    const ready = ((state?.events ?? 0) & 1) !== 0;
    if (!ready || this.#shown === MOST_EDGES) this.#drain();
    if (ready && (woken || this.#shown === 0)) {
      this.#shown += Math.max(0, libc.write(this.#ends[1], this.#bytes.subarray(0, 1)));
    }
    this.#cancel = state?.wakes?.add(() => this.#look(true));
  }
  #drain(): void {
    if (this.#shown > 0) libc.read(this.#ends[0], this.#bytes);
    this.#shown = 0;
  }
  close(): void {
    this.#cancel?.();
    this.#ends.forEach(libc.close);
  }
}
