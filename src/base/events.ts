/**
 * What a machine tells of itself: the vocabulary of the one event stream (trace.ts). Every view is made from it.
 */
import type { Errno } from './errno.ts';
import type { ObjectBornEvent, ObjectGoneEvent, Ref } from './refs.ts';
import type { Facts, Refusal } from './refuse.ts';

/** An event with its number, its time and its place in what goes on. */
export interface Stamped {
  readonly seq: number;
  /** Of the machine's clock, which stands still while a call goes on. */
  readonly timeNs: number;
  /** Of the host's clock, since the trace began: in a run. */
  readonly hostNs?: number;
  /** Name of the process that calls, where it is new or may have changed: in a run. */
  readonly comm?: string;
  /** `seq` of the enter event of the call or turn it happened in. Absent: in none that was heard to begin. */
  readonly call?: number;
  /** `seq` of the event that set it going: of its call, or for a timer of what was going on when it was set. */
  readonly cause?: number;
  /** Of a leave event: where in the program the call is, innermost first. In a run that asks for stacks. */
  readonly stack?: readonly StackFrame[];
  readonly event: TraceEvent;
}
/** A function on a stack. */
export interface StackFrame {
  /** Of the frames above the first: where its call returns to. */
  readonly pc: number;
  /** The file its code is mapped from; undefined: none, or one that is not known. */
  readonly module?: string;
  /** Bytes from the beginning of the module, as the module itself counts addresses. */
  readonly offset?: number;
  readonly function?: string;
  readonly source?: SourceLine;
}
/** A line of source code, by its file's name as the compiler was given it. */
export interface SourceLine {
  readonly file: string;
  readonly line: number;
}

/** Everything a machine tells of itself. */
export type TraceEvent =
  | EnterEvent
  | LeaveEvent
  | SleepEvent
  | SignalEvent
  | ExitEvent
  | DriverCallEvent
  | MapEvent
  | DmaEvent
  | FaultEvent
  | PagesLostEvent
  | InvalidateEvent
  | InterruptEvent
  | MmioEvent
  | WarnEvent
  | LogEvent
  | LifeEvent
  | ObjectBornEvent
  | ObjectGoneEvent;

/** A call of a program or a turn of the kernel's own begins. Its `seq` is the id that events inside carry as `call`. */
export interface EnterEvent extends CallInfo {
  readonly kind: 'enter';
}
/** It is over. Between the two stands what happened inside; a call that slept has others' events there as well. */
export interface LeaveEvent extends CallInfo, CallEnd {
  readonly kind: 'leave';
  /** Refusals met inside, innermost first. */
  readonly refusals: readonly Refusal[];
  /** Of one that succeeded: what it did not do. */
  readonly remarks?: readonly Remark[];
  /** Pages of programs that are pinned for devices now, where the call, or one nobody heard, has changed that. */
  readonly pinned?: number;
}
/** Why a call that succeeds does nothing, with the values that make it so. */
export type Remark = Omit<Refusal, 'errno'>;
/** What is called, by whom, with what. */
export interface CallInfo {
  /** A system call, a load or store of mapped registers, or a turn that no program asked for: a timer. */
  readonly what: 'syscall' | 'access' | 'turn';
  /** Whose call it is; absent for a turn. */
  readonly pid?: number;
  /** The thread that calls, where it is not the first of its process. */
  readonly tid?: number;
  /** 'ioctl', 'openat', 'pread64', 'mmap', 'close', …; 'load', 'store'; 'timer'. */
  readonly name: string;
  /** The descriptor it is made on, as the program has it. */
  readonly fd?: number;
  /** What the fd, path or address names: '/dev/iommu', 'anon_inode:[vfio-device]', '0000:00:04.0 BAR 0'. */
  readonly file?: string;
  /** Name of the device that the file is of, '0000:00:04.0'. */
  readonly device?: string;
  /** For ioctl the command's name in the uapi header, or its number in hex. */
  readonly command?: string;
  /** Arguments as they come in, decoded with the uapi names; `data`: the first bytes that are written. */
  readonly args?: Readonly<Record<string, unknown>>;
}
/** How it ended. */
export interface CallEnd {
  /** Arguments as they go out; `data`: the first bytes that were read. */
  readonly after?: Readonly<Record<string, unknown>>;
  /** Absent: it succeeded, with a value the kernel layers do not know, such as where a mapping lies. */
  readonly result?: number | Errno;
  /** The result is not the call's own, or the caller got a signal: somebody asked for it (machine/files/call-faults.ts). */
  readonly injected?: true;
  /** It was held back for a time, as was asked. */
  readonly delayed?: true;
}
/** A call waits for somebody: nothing is wrong yet, but it may wait for ever. Others' events stand between this and its end. */
export interface SleepEvent extends CallInfo {
  readonly kind: 'sleep';
  readonly why: Remark;
}
/** A thread is given a signal that it was seen to get: in a run, of threads that have registers mapped. */
export interface SignalEvent {
  readonly kind: 'signal';
  readonly pid: number;
  readonly tid?: number;
  /** 'SIGBUS' */
  readonly signal: string;
  /** si_code: 'BUS_ADRERR', 'SI_USER'; a number where it has no name. */
  readonly code?: string | number;
  /** si_addr, of a fault. */
  readonly address?: bigint;
  /** What is at the address: '0000:00:04.0 BAR 0'. */
  readonly file?: string;
  /** Name of its device. */
  readonly device?: string;
  /** Why its registers do not answer. */
  readonly why?: Remark;
}
/** The program of a run has ended. */
export interface ExitEvent {
  readonly kind: 'exit';
  readonly pid: number;
  /** Absent: a signal has ended it. */
  readonly status?: number;
  readonly signal?: string;
}
/** A callback from the core into an IOMMU driver: the call log of core.md 11.5. */
export interface DriverCallEvent {
  readonly kind: 'driver';
  readonly op: string;
  readonly driver: string;
  readonly device?: Ref;
  readonly domain?: Ref;
  readonly old?: Ref;
  readonly pasid?: number;
  readonly result: Errno | undefined;
}
/** A range was mapped in a domain or unmapped from it; addresses and `length` in bytes. */
export interface MapEvent {
  readonly kind: 'map' | 'unmap';
  readonly domain: Ref;
  readonly iova: bigint;
  readonly pa?: bigint;
  readonly length: bigint;
  /** What was asked to be unmapped, where it was more or less. */
  readonly asked?: bigint;
  readonly prot?: number;
}
/** A device read or wrote memory, or was refused; `iova` as the device gave it, `length` in bytes. */
export interface DmaEvent {
  readonly kind: 'dma';
  readonly device: Ref;
  readonly pasid?: number;
  readonly write: boolean;
  readonly iova: bigint;
  readonly length: number;
  /** Present when it was given as a list: `iova` is that of its first place, `length` of all together. */
  readonly list?: readonly { readonly at: bigint; readonly length: number }[];
  /** What of it reached memory, in the order it did: less than `length` bytes together when it was stopped on the way. */
  readonly pieces: readonly MemoryPiece[];
  readonly ok: boolean;
  /** Of one that was stopped: why. */
  readonly refusal?: Refusal;
}
/** Bytes of a transfer that lie in a row behind the translation too. */
export interface MemoryPiece {
  readonly iova: bigint;
  readonly pa: bigint;
  /** Bytes. */
  readonly length: number;
}
/** A translation fault in the words of the hardware that recorded it. */
export interface FaultEvent {
  readonly kind: 'fault';
  readonly unit: string;
  readonly device: Ref;
  readonly pasid?: number;
  readonly write: boolean;
  readonly iova: bigint;
  /** Code of the record, e.g. 0x05 for VT-d. */
  readonly code: number;
  readonly reason: string;
  /** The kernel-log line. */
  readonly text: string;
}
/** Pages that devices have pinned went from what their program sees. The devices go on using them. */
export interface PagesLostEvent {
  readonly kind: 'pages-lost';
  /** The call that took them: 'munmap', 'madvise', 'ftruncate'. */
  readonly by: string;
  /** Whose call. */
  readonly pid: number;
  readonly ranges: readonly PhysicalRange[];
}
/** A range of physical memory. */
export interface PhysicalRange {
  readonly pa: bigint;
  /** Bytes. */
  readonly length: bigint;
}
/** A unit was told to forget; `facts` says what exactly. */
export interface InvalidateEvent {
  readonly kind: 'invalidate';
  readonly unit: string;
  /** 'iotlb', 'context', 'pasid', 'dev-tlb'. */
  readonly cache: string;
  readonly facts: Facts;
}
/** A device interrupted; `delivered` is false when the interrupt was masked or led nowhere. */
export interface InterruptEvent {
  readonly kind: 'interrupt';
  readonly device: Ref;
  /** 'intx', 'msi', 'msix' of the hardware; 'err', 'req' of its VFIO driver. */
  readonly index: string;
  readonly vector: number;
  readonly delivered: boolean;
}
/** Software accessed a register: `width` bytes at `offset` of a region (0 to 5 are the BARs). */
export interface MmioEvent {
  readonly kind: 'mmio';
  readonly device: Ref;
  readonly region: number;
  /** Its name, where the device model gives it one. */
  readonly register?: string;
  readonly offset: number;
  readonly width: number;
  readonly write: boolean;
  readonly value: bigint;
}
/** A kernel WARN: an observable with a stable id (core.md 11.1). */
export interface WarnEvent {
  readonly kind: 'warn';
  readonly id: string;
  readonly text: string;
}
/** A line of the kernel log. */
export interface LogEvent {
  readonly kind: 'log';
  readonly level: 'err' | 'warn' | 'info';
  readonly text: string;
}
/** What becomes of a device. */
export interface LifeEvent {
  readonly kind: 'life';
  /**
   * bind, unbind: by a driver of the driver core, whose name is the detail. open, close: first and last user through
   * VFIO. reset: of the function, as hardware. plug, unplug: it was put in or pulled out while the machine ran.
   * group-add, group-remove: it came into its IOMMU group, whose number is the detail, or left it.
   */
  readonly what:
    | 'device-bind'
    | 'device-unbind'
    | 'device-open'
    | 'device-close'
    | 'device-reset'
    | 'device-plug'
    | 'device-unplug'
    | 'group-add'
    | 'group-remove';
  readonly who: Ref;
  readonly detail?: string;
}

/** Of a union of events those of a kind; one that has several kinds is of each of them. */
export type OfKind<T, K> = T extends { kind: infer Kinds } ? (K extends Kinds ? T : never) : never;
