/**
 * The engine of an accelerator: what portals take, worked off in the order of its coming, one descriptor or one member of
 * a batch at a step (devices.md 3.3).
 */
import type { DevicePort } from '../port.ts';
import { Pump } from '../unit/pump.ts';
import {
  DESCRIPTOR_SIZE,
  DSA_DESCRIPTOR,
  DSA_RECORD,
  FLAG,
  OP,
  OPERATIONS,
  STATUS,
  type DsaDescriptor,
  type DescriptorOutcome,
} from './descriptor.ts';
import { faultAt, operate } from './operations.ts';
import { VECTORS } from './registers.ts';

/** Alignment of a completion record. */
const RECORD_ALIGN = 32n;

/** What one store to a portal has brought. */
interface Work {
  readonly wq: number;
  /** Of all that ever came. */
  readonly number: number;
  readonly descriptor: Uint8Array;
  /** Of a batch that has begun: its members, how many have ended, and whether one has failed. */
  readonly list?: Uint8Array;
  readonly ended: number;
  readonly hasFailed: boolean;
}

/** What an engine is at one moment. */
export interface DsaEngineState {
  readonly queue: readonly Work[];
  readonly count: number;
  readonly leftNs: number | undefined;
}

/** What no completion record can tell. */
export interface SoftwareError {
  readonly wq: number;
  readonly outcome: DescriptorOutcome;
  readonly descriptor: DsaDescriptor;
  /** The member of a batch. */
  readonly member: number | undefined;
}

/** What an engine asks of its device. */
export interface EngineParts {
  readonly port: DevicePort;
  /** Most bytes of a transfer, and most members of a batch. */
  limits(wq: number): { readonly bytes: number; readonly members: number };
  softwareError(error: SoftwareError): void;
  /** Something has ended. */
  progress(): void;
}

export class Engine {
  readonly #parts: EngineParts;
  readonly #pump: Pump;
  #queue: Work[] = [];
  #count = 0;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#pump = new Pump(parts.port.clock, () => this.#step(), { dma: parts.port.dma });
  }
  /** What has come so far, and how much of it has ended. */
  get count(): number {
    return this.#count;
  }
  get ended(): number {
    return this.#queue[0]?.number ?? this.#count;
  }
  /** How many wait at a work queue. */
  waiting(wq: number): number {
    return this.#queue.filter((work) => work.wq === wq).length;
  }
  submit(wq: number, descriptor: Uint8Array): void {
    this.#queue.push({ wq, number: this.#count++, descriptor, ended: 0, hasFailed: false });
    this.#pump.run();
  }
  /** Forget what waits at these work queues; nothing is told of it. */
  abort(isGone: (wq: number) => boolean): void {
    this.#queue = this.#queue.filter(({ wq }) => !isGone(wq));
    if (this.#queue.length === 0) this.#pump.cancel();
  }
  state(): DsaEngineState {
    return { queue: structuredClone(this.#queue), count: this.#count, leftNs: this.#pump.leftNs };
  }
  restore(state: DsaEngineState): void {
    this.#queue = structuredClone([...state.queue]);
    this.#count = state.count;
    this.#pump.restore(state.leftNs);
  }

  #step(): number | undefined {
    const [work] = this.#queue;
    if (!work) return undefined;
    const moved = work.list ? this.#member(work, work.list) : this.#begin(work);
    this.#parts.progress();
    return moved;
  }
  #begin(work: Work): number {
    const descriptor = DSA_DESCRIPTOR.view(work.descriptor);
    const isBatch = descriptor.operation >>> 24 === OP.batch;
    const wrong = this.#wrong(descriptor, work.wq, false);
    if (isBatch && !wrong) return this.#fetch(work, descriptor);
    this.#queue.shift();
    this.#end({ wq: work.wq }, descriptor, this.#perform(descriptor, wrong));
    return isBatch ? 0 : descriptor.size;
  }
  #perform(descriptor: DsaDescriptor, wrong: number): DescriptorOutcome {
    if (wrong) return { status: wrong };
    return operate(descriptor.operation >>> 24, descriptor, this.#parts.port.dma);
  }

  #fetch(work: Work, { size, src }: DsaDescriptor): number {
    const list = new Uint8Array(size * DESCRIPTOR_SIZE);
    const { dma } = this.#parts.port;
    if (dma.read(src, list)) {
      const fault = faultAt(src, dma.moved, STATUS.batchFault);
      this.#endBatch(work, { ...fault, completed: 0 });
    } else this.#queue[0] = { ...work, list };
    return list.length;
  }
  /** A fence stops the batch behind a member that has failed. */
  #member(work: Work, list: Uint8Array): number {
    const { ended, hasFailed, wq } = work;
    const at = ended * DESCRIPTOR_SIZE;
    const descriptor = DSA_DESCRIPTOR.view(list.subarray(at, at + DESCRIPTOR_SIZE));
    if (hasFailed && descriptor.operation & FLAG.fence) {
      this.#endBatch(work, { status: STATUS.batchFailed, completed: ended });
      return 0;
    }
    const outcome = this.#perform(descriptor, this.#wrong(descriptor, wq, true));
    this.#end({ wq, member: ended }, descriptor, outcome);
    const now = {
      ...{ ...work, ended: ended + 1 },
      hasFailed: hasFailed || outcome.status !== STATUS.success,
    };
    this.#queue[0] = now;
    if (at + DESCRIPTOR_SIZE === list.length) {
      const status = now.hasFailed ? STATUS.batchFailed : STATUS.success;
      this.#endBatch(now, { status, completed: now.ended });
    }
    return outcome.status === STATUS.success ? descriptor.size : 0;
  }
  #endBatch(work: Work, outcome: DescriptorOutcome): void {
    this.#queue.shift();
    this.#end({ wq: work.wq }, DSA_DESCRIPTOR.view(work.descriptor), outcome);
  }

  /** A status, or 0. */
  #wrong(descriptor: DsaDescriptor, wq: number, isMember: boolean): number {
    const { operation, size } = descriptor;
    const opcode = operation >>> 24;
    const isBatch = opcode === OP.batch;
    const { bytes, members } = this.#parts.limits(wq);
    if (((OPERATIONS >> BigInt(opcode)) & 1n) === 0n || (isBatch && isMember)) return STATUS.opcode;
    if (operation & 0xff_ffff & ~FLAG.known) return STATUS.flags;
    if (opcode >= OP.move && (size === 0 || size > bytes)) return STATUS.size;
    if (isBatch && (size < 2 || size > members)) return STATUS.count;
    return wrongAddress(descriptor, isBatch);
  }
  /** The record, then the interrupt. What no record can tell is an error of the software. */
  #end(
    { wq, member }: { readonly wq: number; readonly member?: number },
    descriptor: DsaDescriptor,
    outcome: DescriptorOutcome,
  ): void {
    const { operation, interrupt } = descriptor;
    const { port } = this.#parts;
    const told = this.#tell(descriptor, outcome);
    if (told) this.#parts.softwareError({ wq, outcome: told, descriptor, member });
    if (operation & FLAG.interrupt && interrupt < VECTORS) port.irq.message(interrupt);
  }
  /** What has to be told elsewhere. */
  #tell(
    { operation, completion }: DsaDescriptor,
    outcome: DescriptorOutcome,
  ): DescriptorOutcome | undefined {
    const { status, result = 0, completed = 0, faultAddress = 0n } = outcome;
    const hasFailed = status !== STATUS.success;
    const hasRecord = (operation & FLAG.recordValid) !== 0 && status !== STATUS.recordAddress;
    if (!hasRecord) return hasFailed ? outcome : undefined;
    if (!hasFailed && !(operation & FLAG.recordAlways)) return undefined;
    const record = DSA_RECORD.make({ status, result, completed, faultAddress });
    if (!this.#parts.port.dma.write(completion, record.bytes)) return undefined;
    return { status: STATUS.recordFault, faultAddress: completion };
  }
}

function wrongAddress(descriptor: DsaDescriptor, isBatch: boolean): number {
  const { operation, completion, src, interrupt } = descriptor;
  if (operation & FLAG.recordValid && completion % RECORD_ALIGN !== 0n) {
    return STATUS.recordAddress;
  }
  if (isBatch && src % BigInt(DESCRIPTOR_SIZE) !== 0n) return STATUS.listAddress;
  return operation & FLAG.interrupt && interrupt >= VECTORS ? STATUS.interrupt : 0;
}
