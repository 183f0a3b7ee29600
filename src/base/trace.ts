/**
 * One event stream. Every view (text after strace, JSON lines) is made from it.
 *
 * Emitting costs one test when nobody listens: `if (trace.on) trace.emit({ … })`.
 */
import type { Errno } from './errno.ts';
import type { Facts, Refusal } from './refuse.ts';

/** Everything a machine tells of itself. */
export type TraceEvent =
  | SyscallEvent
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

/** A call of a program, emitted when it is answered. */
export interface SyscallEvent {
  readonly kind: 'syscall';
  readonly pid: number;
  /** 'ioctl', 'openat', 'pread64', 'mmap', 'close', … */
  readonly name: string;
  /** What the fd or path names: '/dev/iommu', '[vfio-device] 0000:00:04.0'. */
  readonly file: string;
  /** For ioctl the command's name in the uapi header, or its number in hex. */
  readonly command?: string;
  /** Arguments before the call and after it, decoded with the uapi names. */
  readonly args?: Readonly<Record<string, unknown>>;
  readonly after?: Readonly<Record<string, unknown>>;
  /** Absent: it succeeded, with a value the kernel layers do not know, such as where a mapping lies. */
  readonly result?: number | Errno;
  /** Refusals met inside the call, innermost first. */
  readonly refusals: readonly Refusal[];
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

/** An event with its number and its time. */
export interface Stamped {
  readonly seq: number;
  readonly timeNs: number;
  readonly event: TraceEvent;
}

export class Trace {
  readonly #listeners = new Set<(stamped: Stamped) => void>();
  readonly #nowNs: () => number;
  #seq = 0;
  /** True when somebody listens; test it before building an event. */
  on = false;

  constructor(nowNs: () => number) {
    this.#nowNs = nowNs;
  }
  emit(event: TraceEvent): void {
    if (!this.on) return;
    const stamped = { seq: this.#seq++, timeNs: this.#nowNs(), event };
    for (const listener of this.#listeners) listener(stamped);
  }
  listen(listener: (stamped: Stamped) => void): Disposable {
    this.#listeners.add(listener);
    this.on = true;
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
        this.on = this.#listeners.size > 0;
      },
    };
  }
}
