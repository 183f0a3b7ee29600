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
import { DsaOperation, type DsaOperationState } from './operations.ts';
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
  readonly operation: DsaOperationState | undefined;
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
  /** Of the first in the queue, or of its member whose turn it is. */
  #operation: DsaOperation | undefined;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#pump = new Pump(parts.port.clock, (left) => this.#step(left), { dma: parts.port.dma });
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
    const [first] = this.#queue;
    this.#queue = this.#queue.filter(({ wq }) => !isGone(wq));
    if (this.#queue[0] !== first) this.#operation = undefined;
    if (this.#queue.length === 0) this.#pump.cancel();
  }
  state(): DsaEngineState {
    return {
      queue: structuredClone(this.#queue),
      count: this.#count,
      operation: this.#operation?.state(),
      leftNs: this.#pump.leftNs,
    };
  }
  restore(state: DsaEngineState): void {
    this.#queue = structuredClone([...state.queue]);
    this.#count = state.count;
    const [first] = this.#queue;
    const { dma } = this.#parts.port;
    this.#operation =
      state.operation && first && new DsaOperation(dma, descriptorOf(first), state.operation);
    this.#pump.restore(state.leftNs);
  }

  #step(left: number): number | undefined {
    const [work] = this.#queue;
    if (!work) return undefined;
    if (work.list) this.#member(work, work.list, left);
    else this.#alone(work, left);
    this.#parts.progress();
    return 0; // what it moved the bus has counted
  }
  #alone(work: Work, left: number): void {
    const descriptor = descriptorOf(work);
    const operation = this.#begun(descriptor, work.wq, false);
    const outcome = this.#goOn(operation, left);
    if (!outcome) return;
    const isBatch = descriptor.operation >>> 24 === OP.batch;
    const list = isBatch && operation instanceof DsaOperation ? operation.bytes : undefined;
    if (list && outcome.status === STATUS.success) this.#queue[0] = { ...work, list };
    else this.#endFirst(work, list ? { ...outcome, completed: 0 } : outcome);
  }
  /** A fence stops the batch behind a member that has failed. */
  #member(work: Work, list: Uint8Array, left: number): void {
    const { ended, hasFailed, wq } = work;
    const descriptor = descriptorOf(work);
    if (hasFailed && descriptor.operation & FLAG.fence) {
      this.#endFirst(work, { status: STATUS.batchFailed, completed: ended });
      return;
    }
    const outcome = this.#goOn(this.#begun(descriptor, wq, true), left);
    if (!outcome) return;
    const now = {
      ...{ ...work, ended: ended + 1 },
      hasFailed: hasFailed || outcome.status !== STATUS.success,
    };
    this.#queue[0] = now;
    this.#end({ wq, member: ended }, descriptor, outcome);
    // The record may have been written into a register of this device, and have ended it all.
    if (this.#queue[0] === now && now.ended * DESCRIPTOR_SIZE === list.length) {
      const status = now.hasFailed ? STATUS.batchFailed : STATUS.success;
      this.#endFirst(now, { status, completed: now.ended });
    }
  }
  #endFirst(work: Work, outcome: DescriptorOutcome): void {
    this.#queue.shift();
    this.#end({ wq: work.wq }, DSA_DESCRIPTOR.view(work.descriptor), outcome);
  }

  /** What is under way, or begins now; an outcome where it cannot be done. */
  #begun(
    descriptor: DsaDescriptor,
    wq: number,
    isMember: boolean,
  ): DsaOperation | DescriptorOutcome {
    if (this.#operation) return this.#operation;
    const wrong = this.#wrong(descriptor, wq, isMember);
    if (wrong) return { status: wrong };
    return (this.#operation = new DsaOperation(this.#parts.port.dma, descriptor));
  }
  /** As much of it as there is room for; undefined: it is not over, or nobody wants it any more. */
  #goOn(operation: DsaOperation | DescriptorOutcome, work: number): DescriptorOutcome | undefined {
    if (!(operation instanceof DsaOperation)) return operation;
    const { dma } = this.#parts.port;
    const end = dma.work + work;
    let outcome: DescriptorOutcome | undefined;
    // What it reaches may be the registers of this device.
    while (!outcome && this.#operation === operation && dma.work < end) {
      outcome = operation.go(end - dma.work);
    }
    if (this.#operation !== operation) return undefined;
    if (outcome) this.#operation = undefined;
    return outcome;
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

/** Of the work itself, or of its member whose turn it is. */
function descriptorOf({ descriptor, list, ended }: Work): DsaDescriptor {
  const at = ended * DESCRIPTOR_SIZE;
  return DSA_DESCRIPTOR.view(list ? list.subarray(at, at + DESCRIPTOR_SIZE) : descriptor);
}

function wrongAddress(descriptor: DsaDescriptor, isBatch: boolean): number {
  const { operation, completion, src, interrupt } = descriptor;
  if (operation & FLAG.recordValid && completion % RECORD_ALIGN !== 0n) {
    return STATUS.recordAddress;
  }
  if (isBatch && src % BigInt(DESCRIPTOR_SIZE) !== 0n) return STATUS.listAddress;
  return operation & FLAG.interrupt && interrupt >= VECTORS ? STATUS.interrupt : 0;
}
