/**
 * What nearly every call on a descriptor begins with, in one crossing (sys/steps.ts): what the link of the descriptor says,
 * and where that may be a file of ours which file it is, and the struct the argument of the call points to.
 *
 * The bytes are those of one moment after the call was made and before it is answered, as a copy of the kernel's own is; a
 * handler that reads the struct in two pieces finds both of the same moment. They are good for this call only, and only
 * until something else of a program's memory is written: whoever writes says so here. Where a copy might have to wait for a
 * program (slow-pages.ts) nothing is looked at before it is asked for.
 */
import { callers } from '../sys/callers.ts';
import { iovec, remoteIovec } from '../sys/libc.ts';
import { LISTENER } from '../sys/listener-ioctls.ts';
import { WHICH_FILE, WhichFile } from '../sys/look.ts';
import { AT_FDCWD, HOST_ERRNO, NR } from '../sys/numbers.ts';
import { Steps } from '../sys/steps.ts';
import { slowPages } from './slow-pages.ts';

/** Larger structs are read by themselves. */
const MOST_BYTES = 128;
const PAGE_MASK = 4095;
const LONGEST_LINK = 4096;
/** How the link of a memfd begins. */
const MEMFD = Buffer.from('/mem').readUInt32LE();
/** `/proc/PID/task/TID/fd/FD`, each number of ten digits at most. */
const LONGEST_PATH = 64;
/** Which argument of process_vm_readv(2) it is. */
const TID = 0;

/** Who makes a call, and on what. */
export interface LookedAt {
  readonly pid: number;
  readonly tid: number;
  readonly fd: number;
  /** Where its struct is, if it has one that is likely to be read. */
  readonly at: bigint | undefined;
}

/** Of the one run that this thread serves at a time. */
class CallLook {
  #list: LookList | undefined;
  /** The thread whose bytes there are; 0: there are none. */
  #tid = 0;
  #at = 0n;
  #length = 0;
  /** Of the descriptor of the call. */
  #object: string | undefined;

  /** A run begins, whose calls are looked at so. */
  begin(): void {
    this.drop();
    this.#list = new LookList();
  }
  get isPossible(): boolean {
    return this.#list !== undefined && !slowPages.possible;
  }
  /** The text of the descriptor's link, or minus an errno. */
  linkOf(looked: LookedAt): string | number {
    const list = this.#list!;
    const length = list.run(looked);
    this.#object = list.object;
    this.#tid = length > 0 ? looked.tid : 0;
    this.#at = looked.at ?? 0n;
    this.#length = length;
    return list.link;
  }
  /** False: they are not known, or any more. */
  read(tid: number, addr: bigint, into: Uint8Array): boolean {
    if (tid !== this.#tid) return false;
    const from = Number(addr - this.#at);
    if (!(from >= 0 && from + into.length <= this.#length)) return false;
    const { bytes } = this.#list!;
    for (let n = 0; n < into.length; n++) into[n] = bytes[from + n]!;
    return true;
  }
  /** Which file it is that linkOf() has been asked of in this call (look.ts:objectOf), once. Undefined: it has not been. */
  takeObject(): string | undefined {
    const object = this.#object;
    this.#object = undefined;
    return object;
  }
  /** Something of a program's memory was written: where, and `done` bytes of what, or minus an errno. */
  wrote(tid: number, addr: bigint, bytes: Uint8Array, done: number): void {
    if (this.#tid === 0) return;
    const from = tid === this.#tid && done === bytes.length ? Number(addr - this.#at) : -1;
    if (from >= 0 && from + done <= this.#length) this.#list!.bytes.set(bytes, from);
    else this.drop();
  }
  /** The call is over, or a program's memory is about to be written. */
  drop(): void {
    this.#tid = 0;
    this.#object = undefined;
  }
}

/** The steps, and where they put what they find. */
class LookList {
  readonly bytes = Buffer.alloc(MOST_BYTES);
  /** Of the last run. */
  link: string | number = '';
  object: string | undefined;
  readonly #steps = new Steps(6);
  readonly #which = new WhichFile();
  readonly #path = Buffer.alloc(LONGEST_PATH);
  readonly #links = Buffer.alloc(LONGEST_LINK);
  readonly #remote = remoteIovec(0n, 0);
  readonly #remote64 = new BigUint64Array(this.#remote.buffer, this.#remote.byteOffset, 2);
  /** 1: there is a struct. */
  readonly #struct = Buffer.alloc(8);
  readonly #readlink: number;
  readonly #isMemfd: number;
  readonly #statx: number;
  readonly #hasStruct: number;
  readonly #read: number;
  readonly #isValid: number;
  /** Of whom the path is. */
  readonly #pathOf = { pid: 0, tid: 0, fd: -1 };
  /** The text that was made of a link last, and its bytes. */
  #text = '';
  readonly #textBytes = Buffer.alloc(LONGEST_LINK);
  #textLength = 0;

  constructor() {
    const steps = this.#steps;
    this.#readlink = steps.call(NR.readlink, this.#path, this.#links, LONGEST_LINK);
    // Of what is no memfd nobody asks more, but of a pipe that stands for a stream of ours.
    this.#isMemfd = steps.check(this.#links, 0xffff_ffff, MEMFD);
    const { flags, mask } = WHICH_FILE;
    this.#statx = steps.call(NR.statx, AT_FDCWD, this.#path, flags, mask, this.#which.bytes);
    this.#hasStruct = steps.check(this.#struct, 1, 1);
    this.#read = steps.call(NR.process_vm_readv, 0, iovec(this.bytes), 1, this.#remote, 1, 0);
    this.#isValid = steps.call(NR.ioctl, 0, LISTENER.isValid, callers.id);
  }
  /** How many bytes there are. */
  run({ pid, tid, fd, at }: LookedAt): number {
    const steps = this.#steps;
    const of = this.#pathOf;
    if (of.fd !== fd || of.tid !== tid || of.pid !== pid) {
      Object.assign(of, { pid, tid, fd });
      this.#path.write(`/proc/${pid}/task/${tid}/fd/${fd}\0`, 'latin1');
    }
    // What is behind the page need not be there, and costs a look of its own.
    if (at !== undefined) {
      const inPage = PAGE_MASK + 1 - (Number(at & 0xffffn) & PAGE_MASK);
      this.#remote64[0] = at;
      this.#remote64[1] = BigInt(Math.min(MOST_BYTES, inPage));
    }
    this.#struct[0] = at === undefined ? 0 : 1;
    steps.set(this.#read, TID, tid);
    const isCaller = callers.aim(tid);
    // It comes after the list.
    steps.set(this.#isValid, 0, callers.listener);
    const ended = steps.run();
    if (isCaller && this.#isGone(tid, ended)) {
      this.link = -HOST_ERRNO.ENOENT;
      this.object = undefined;
      return 0;
    }
    const length = steps.result(this.#readlink);
    this.link = length < 0 ? length : this.#textOf(length);
    const isKnown = ended > this.#isMemfd && steps.result(this.#statx) === 0;
    this.object = isKnown ? this.#which.object : undefined;
    return ended === steps.end ? steps.result(this.#read) : 0;
  }
  /** What was found may be another thread's. */
  #isGone(tid: number, ended: number): boolean {
    if (ended === this.#steps.end) return this.#steps.result(this.#isValid) !== 0;
    return ended === this.#hasStruct && callers.isGone(tid);
  }
  /** Most calls are on the file of the last one. */
  #textOf(length: number): string {
    const [now, before] = [this.#links, this.#textBytes];
    let same = length === this.#textLength ? 0 : -1;
    while (same >= 0 && same < length) same = now[same] === before[same] ? same + 1 : -1;
    if (same === length) return this.#text;
    now.copy(before, 0, 0, length);
    this.#textLength = length;
    this.#text = now.toString('utf8', 0, length);
    return this.#text;
  }
}

/** The kernel thread serves one run at a time. */
export const callLook = new CallLook();
