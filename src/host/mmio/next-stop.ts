/**
 * From one access to registers to the next in one crossing (sys/steps.ts): a thread goes on with its new registers, a stop is
 * looked for, and where it is a fault of the thread that is followed, all that nearly every access begins with is asked: its
 * cause, the registers, the instruction, what is mapped at the address, and what its signals mean. A list that ends earlier
 * says how far it came; what it did not find is asked as ever, call by call.
 *
 * What was found is good until the next look for a stop, and for the thread that has stopped: it does not run meanwhile.
 * Nine crossings an access become one: of quiet moments, 33 us instead of 44.
 */
import { iovec, remoteIovec, waitNow, WALL, WNOHANG } from '../sys/libc.ts';
import { MapQuestion, NAME_SIZES, PROCMAP_QUERY, type MapsFile } from '../sys/map-query.ts';
import type { FoundMapping } from '../process/mapped-registers.ts';
import { NR, SIGBUS, SIGSEGV } from '../sys/numbers.ts';
import {
  causeIn,
  FAULT_ADDRESS,
  REGS,
  REGS_SIZE,
  REQUEST,
  resume,
  setRegs,
  SIGINFO_SIZE,
  type SignalCause,
} from '../sys/ptrace.ts';
import { Steps } from '../sys/steps.ts';
import { STAT_SIZE } from './thread-stats.ts';

/** Accesses come by two signals, which differ in these bits: SIGQUIT and SIGTERM pass too, and are looked at in vain. */
const EITHER = SIGBUS ^ SIGSEGV;
/** The wait status of a thread that has stopped before it is given such a signal, in the other bits. */
const OF_STOP = ~(EITHER << 8);
const STOPPED_BY_FAULT = ((SIGBUS << 8) | 0x7f) & OF_STOP;
export const LONGEST_INSTRUCTION = 15;

/** What a thread is looked at by. */
export interface Followed {
  readonly maps: MapsFile;
  /** A descriptor of ours of its /proc/…/stat. */
  readonly stat: number;
}
/** A child of ours and its wait status. */
export interface ChildEvent {
  readonly pid: number;
  readonly status: number;
}
/** What was found of a thread at an access. */
export interface FoundStop {
  readonly cause: SignalCause;
  /** To be changed at will. */
  readonly regs: Buffer;
  /** From the instruction on, up to the end of what is mapped. */
  readonly code: Buffer;
  /** Undefined: the kernel does not say. `maps`: of whose address space. */
  readonly mapping: FoundMapping | undefined;
  /** The bytes of its /proc/…/stat; undefined: it could not be read. */
  readonly stat: Buffer | undefined;
}

/** The list, for all threads. */
export class NextStop {
  readonly #steps = new Steps(14);
  readonly #status = Buffer.alloc(8);
  readonly #info = Buffer.alloc(SIGINFO_SIZE);
  readonly #regs = Buffer.alloc(REGS_SIZE);
  readonly #code = Buffer.alloc(LONGEST_INSTRUCTION);
  readonly #codeAt = remoteIovec(0n, LONGEST_INSTRUCTION);
  readonly #question = new MapQuestion();
  readonly #stat = Buffer.alloc(STAT_SIZE);
  /** Steps. */
  readonly #set: number;
  readonly #goOn: number;
  readonly #wait: number;
  readonly #isTheirs: number;
  readonly #cause: number;
  readonly #get: number;
  readonly #read: number;
  readonly #ask: number;
  readonly #means: number;

  readonly #known = new Map<number, Followed>();
  /** Whom the list is about now; 0: nobody. */
  #tid = 0;
  /** It has stopped, and was looked at. */
  #isFound = false;
  /** It has been given its registers and is to go on. */
  #isOwed = false;
  /** Is a look for stops under way, with which a thread can go on? */
  #isLooking = false;

  constructor() {
    const steps = this.#steps;
    this.#set = steps.call(NR.ptrace, REQUEST.setRegs, 0, 0, this.#regs);
    this.#goOn = steps.call(NR.ptrace, REQUEST.cont, 0, 0, 0);
    this.#wait = steps.call(NR.wait4, -1, this.#status, WNOHANG | WALL, 0);
    this.#isTheirs = steps.expect(this.#wait, 0);
    steps.check(this.#status, OF_STOP, STOPPED_BY_FAULT);
    this.#cause = steps.call(NR.ptrace, REQUEST.getSigInfo, 0, 0, this.#info);
    this.#get = steps.call(NR.ptrace, REQUEST.getRegs, 0, 0, this.#regs);
    steps.expect(this.#get, 0);
    steps.copy(this.#regs.subarray(REGS.rip), this.#codeAt);
    this.#read = steps.call(NR.process_vm_readv, 0, iovec(this.#code), 1, this.#codeAt, 1, 0);
    steps.copy(this.#info.subarray(FAULT_ADDRESS), this.#question.address);
    steps.copy(NAME_SIZES, this.#question.sizes);
    this.#ask = steps.call(NR.ioctl, 0, PROCMAP_QUERY, this.#question.bytes);
    this.#means = steps.call(NR.pread64, 0, this.#stat, STAT_SIZE, 0);
  }

  /** From now on its accesses are looked at so, until it is forgotten. */
  follow(tid: number, followed: Followed): void {
    this.#known.set(tid, followed);
    if (this.#tid === tid) this.#aim(tid, followed);
  }
  forget(tid: number): void {
    this.#known.delete(tid);
    if (this.#tid !== tid) return;
    this.flush();
    this.#isFound = false;
    this.#tid = 0;
  }

  /** What has happened to a child, without waiting for it. flush() ends the looking. */
  look(): ChildEvent | undefined {
    this.#isLooking = true;
    this.#isFound = false;
    if (this.#tid === 0) return this.#other(waitNow(-1));
    const steps = this.#steps;
    const isOwed = this.#isOwed;
    this.#isOwed = false;
    const ended = steps.run(isOwed ? this.#set : this.#wait);
    const pid = steps.result(this.#wait);
    if (pid <= 0) return undefined;
    const event = { pid, status: this.#status.readInt32LE(0) };
    if (ended === this.#isTheirs) return this.#other(event);
    this.#isFound = ended === steps.end;
    return event;
  }
  /** Of another thread than the one the list was about. */
  #other(event: ChildEvent | undefined): ChildEvent | undefined {
    if (!event || (event.status & OF_STOP) !== STOPPED_BY_FAULT) return event;
    const known = this.#known.get(event.pid);
    if (!known) return event;
    this.#aim(event.pid, known);
    this.#isFound = this.#steps.run(this.#cause) === this.#steps.end;
    return event;
  }
  #aim(tid: number, { maps, stat }: Followed): void {
    const steps = this.#steps;
    this.#tid = tid;
    for (const step of [this.#set, this.#goOn, this.#cause, this.#get]) steps.set(step, 1, tid);
    steps.set(this.#isTheirs, 2, tid);
    steps.set(this.#read, 0, tid);
    steps.set(this.#ask, 0, maps.fd);
    steps.set(this.#means, 0, stat);
  }

  /** Of a thread that has stopped at last; undefined: all is still to be asked. */
  found(tid: number): FoundStop | undefined {
    if (!this.#isFound || this.#tid !== tid) return undefined;
    const [steps, followed] = [this.#steps, this.#known.get(tid)];
    if (!followed || steps.result(this.#cause) !== 0) return undefined;
    const [read, stat] = [steps.result(this.#read), steps.result(this.#means)];
    const isMapped = steps.result(this.#ask) === 0;
    return {
      cause: causeIn(this.#info),
      regs: this.#regs,
      code: this.#code.subarray(0, Math.max(0, read)),
      mapping: isMapped ? { maps: followed.maps, line: this.#question.answer() } : undefined,
      stat: stat > 0 ? this.#stat.subarray(0, stat) : undefined,
    };
  }

  /** A thread that was found goes on with its registers, with the next look or at the end of it. False: not by us. */
  goOn(tid: number, regs: Buffer): boolean {
    if (!this.#isLooking || this.#tid !== tid || regs !== this.#regs) return false;
    this.#isFound = false;
    this.#isOwed = true;
    return true;
  }
  /** No more is looked for now: whoever is to go on does. */
  flush(): void {
    this.#isLooking = false;
    if (!this.#isOwed) return;
    this.#isOwed = false;
    setRegs(this.#tid, this.#regs);
    resume(this.#tid);
  }
}
