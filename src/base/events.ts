/**
 * What a machine tells of itself: the vocabulary of the one event stream (trace.ts). Every view is made from it.
 */
import type { Errno } from './errno.ts';
import type { Facts, Refusal } from './refuse.ts';

/** An event with its number, its time and its place in what goes on. */
export interface Stamped {
  readonly seq: number;
  readonly timeNs: number;
  /** `seq` of the enter event of the call or turn it happened in. Absent: in none that was heard to begin. */
  readonly call?: number;
  /** `seq` of the event that set it going: of its call, or for a timer of what was going on when it was set. */
  readonly cause?: number;
  readonly event: TraceEvent;
}

/** Everything a machine tells of itself. */
export type TraceEvent =
  | EnterEvent
  | LeaveEvent
  | DriverCallEvent
  | MapEvent
  | DmaEvent
  | FaultEvent
  | InvalidateEvent
  | InterruptEvent
  | MmioEvent
  | WarnEvent
  | LogEvent
  | LifeEvent;

/** A call of a program or a turn of the kernel's own begins. Its `seq` is the id that events inside carry as `call`. */
export interface EnterEvent extends CallInfo {
  readonly kind: 'enter';
}
/** It is over. Between the two stands what happened inside; a call that slept has others' events there as well. */
export interface LeaveEvent extends CallInfo, CallEnd {
  readonly kind: 'leave';
  /** Refusals met inside, innermost first. */
  readonly refusals: readonly Refusal[];
}
/** What is called, by whom, with what. */
export interface CallInfo {
  /** A system call, a load or store of mapped registers, or a turn that no program asked for: a timer. */
  readonly what: 'syscall' | 'access' | 'turn';
  /** Whose call it is; absent for a turn. */
  readonly pid?: number;
  /** 'ioctl', 'openat', 'pread64', 'mmap', 'close', …; 'load', 'store'; 'timer'. */
  readonly name: string;
  /** What the fd, path or address names: '/dev/iommu', '[vfio-device] 0000:00:04.0', '0000:00:04.0 BAR 0'. */
  readonly file?: string;
  /** For ioctl the command's name in the uapi header, or its number in hex. */
  readonly command?: string;
  /** Arguments as they come in, decoded with the uapi names. */
  readonly args?: Readonly<Record<string, unknown>>;
}
/** How it ended. */
export interface CallEnd {
  /** Arguments as they go out. */
  readonly after?: Readonly<Record<string, unknown>>;
  /** Absent: it succeeded, with a value the kernel layers do not know, such as where a mapping lies. */
  readonly result?: number | Errno;
}
/** A callback from the core into an IOMMU driver: the call log of core.md 11.5. */
export interface DriverCallEvent {
  readonly kind: 'driver';
  readonly op: string;
  readonly driver: string;
  readonly device?: string;
  readonly domain?: string;
  readonly old?: string;
  readonly pasid?: number;
  readonly result: Errno | undefined;
}
export interface MapEvent {
  readonly kind: 'map' | 'unmap';
  readonly domain: string;
  readonly iova: bigint;
  readonly pa?: bigint;
  readonly length: bigint;
  readonly prot?: number;
}
export interface DmaEvent {
  readonly kind: 'dma';
  readonly device: string;
  readonly pasid?: number;
  readonly write: boolean;
  readonly iova: bigint;
  readonly length: number;
  readonly ok: boolean;
}
/** A translation fault in the words of the hardware that recorded it. */
export interface FaultEvent {
  readonly kind: 'fault';
  readonly unit: string;
  readonly device: string;
  readonly pasid?: number;
  readonly write: boolean;
  readonly iova: bigint;
  /** Code of the record, e.g. 0x05 for VT-d. */
  readonly code: number;
  readonly reason: string;
  /** The kernel-log line. */
  readonly text: string;
}
export interface InvalidateEvent {
  readonly kind: 'invalidate';
  readonly unit: string;
  /** 'iotlb', 'context', 'pasid', 'dev-tlb'. */
  readonly cache: string;
  readonly facts: Facts;
}
export interface InterruptEvent {
  readonly kind: 'interrupt';
  readonly device: string;
  /** 'intx', 'msi', 'msix', 'err', 'req'. */
  readonly index: string;
  readonly vector: number;
  readonly delivered: boolean;
}
export interface MmioEvent {
  readonly kind: 'mmio';
  readonly device: string;
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
export interface LogEvent {
  readonly kind: 'log';
  readonly level: 'err' | 'warn' | 'info';
  readonly text: string;
}
/** Processes and devices coming and going. */
export interface LifeEvent {
  readonly kind: 'life';
  readonly what:
    'process-start' | 'process-exit' | 'device-bind' | 'device-unbind' | 'device-reset';
  readonly who: string;
  readonly detail?: string;
}
