/** A host that drives an NVMe controller without a machine: queues in the memory of a fake port, commands one by one. */
import type { DeviceModel, DeviceOptions } from '../../devices/port.ts';
import { nvme } from '../../devices/nvme/nvme.ts';
import { NVME_REG } from '../../devices/nvme/registers.ts';
import { plugInto, type FakePort, type FakeWorld } from './fake-port.ts';

/** Where things are in its memory. */
export const AT = {
  asq: 0x1_0000,
  acq: 0x2_0000,
  /** Of I/O queue n: 0x8000 further for each. */
  sq: 0x4_0000,
  cq: 0x4_4000,
  data: 0x10_0000,
  list: 0x30_0000,
} as const;
const MEMORY = 0x40_0000;
const ADMIN_ENTRIES = 32;
/** More than a controller waits for further commands. */
const PATIENCE_NS = 1.5e6;

/** What a command says; what is left out is 0. */
export interface CommandFields {
  readonly opcode: number;
  readonly flags?: number;
  readonly nsid?: number;
  readonly prp1?: bigint | number;
  readonly prp2?: bigint | number;
  /** Command dwords from 10 on. */
  readonly dwords?: readonly number[];
}

/** A completion. `status` as in the status field without its phase: DNR is 0x4000. */
export interface CompletionEntry {
  readonly result: number;
  readonly sqHead: number;
  readonly sqId: number;
  readonly id: number;
  readonly status: number;
}

/** One pair of queues, from the side of the host. */
interface Pair {
  readonly sq: number;
  readonly cq: number;
  readonly entries: number;
  tail: number;
  head: number;
  phase: number;
}

/** A controller that is enabled, and a host that submits and reaps. */
export class NvmeRig {
  readonly device: DeviceModel;
  readonly port: FakePort;
  readonly words: DataView;
  readonly #pairs = new Map<number, Pair>();
  #nextId = 1;

  constructor(options: DeviceOptions = {}, world: FakeWorld = {}) {
    const { device, port } = plugInto(nvme, options, { memory: MEMORY, ...world });
    this.device = device;
    this.port = port;
    this.words = new DataView(port.memory.buffer);
  }

  load(offset: number, width = 4): bigint {
    return this.device.mmioRead(0, offset, width);
  }
  store(offset: number, value: number | bigint, width = 4): void {
    this.device.mmioWrite(0, offset, width, BigInt(value));
  }
  get csts(): number {
    return Number(this.load(NVME_REG.csts));
  }

  /** As Linux does it. */
  enable(adminEntries = ADMIN_ENTRIES, cc = 0x0046_0001): void {
    this.store(NVME_REG.cc, 0);
    this.store(NVME_REG.aqa, ((adminEntries - 1) << 16) | (adminEntries - 1));
    this.store(NVME_REG.asq, AT.asq, 8);
    this.store(NVME_REG.acq, AT.acq, 8);
    this.#pairs.clear();
    this.#addPair(0, AT.asq, AT.acq, adminEntries);
    this.store(NVME_REG.cc, cc);
  }
  #addPair(id: number, sq: number, cq: number, entries: number): void {
    this.port.memory.fill(0, cq, cq + 16 * entries);
    this.#pairs.set(id, { sq, cq, entries, tail: 0, head: 0, phase: 1 });
  }
  /** I/O queue pair n, interrupting with vector n. */
  addQueues(id: number, entries = 32): void {
    const [sq, cq] = [AT.sq + (id - 1) * 0x8000, AT.cq + (id - 1) * 0x8000];
    this.must({ opcode: 5, prp1: cq, dwords: [((entries - 1) << 16) | id, (id << 16) | 3] });
    this.must({ opcode: 1, prp1: sq, dwords: [((entries - 1) << 16) | id, (id << 16) | 1] });
    this.#addPair(id, sq, cq, entries);
  }
  /** An admin command that succeeds. */
  must(fields: CommandFields): CompletionEntry {
    const completion = this.admin(fields);
    if (completion.status !== 0) throw new Error(`status 0x${completion.status.toString(16)}`);
    return completion;
  }

  /** Put a command into a ring without telling; its id. */
  fill(queue: number, fields: CommandFields): number {
    const pair = this.#pairs.get(queue)!;
    const at = pair.sq + 64 * pair.tail;
    const id = this.#nextId++;
    this.port.memory.fill(0, at, at + 64);
    this.words.setUint8(at, fields.opcode);
    this.words.setUint8(at + 1, fields.flags ?? 0);
    this.words.setUint16(at + 2, id, true);
    this.words.setUint32(at + 4, fields.nsid ?? 0, true);
    this.words.setBigUint64(at + 24, BigInt(fields.prp1 ?? 0), true);
    this.words.setBigUint64(at + 32, BigInt(fields.prp2 ?? 0), true);
    for (const [n, dword] of (fields.dwords ?? []).entries()) {
      this.words.setUint32(at + 40 + 4 * n, dword, true);
    }
    pair.tail = (pair.tail + 1) % pair.entries;
    return id;
  }
  ring(queue: number): void {
    this.store(NVME_REG.sqTail + 8 * queue, this.#pairs.get(queue)!.tail);
  }
  submit(queue: number, fields: CommandFields): number {
    const id = this.fill(queue, fields);
    this.ring(queue);
    return id;
  }
  /** What has been completed since the last look. `quietly`: the controller is not told. */
  reap(queue: number, quietly = false): CompletionEntry[] {
    this.port.clock.advance(PATIENCE_NS);
    const pair = this.#pairs.get(queue)!;
    const out: CompletionEntry[] = [];
    for (;;) {
      const at = pair.cq + 16 * pair.head;
      const field = this.words.getUint16(at + 14, true);
      if ((field & 1) !== pair.phase) break;
      out.push({
        result: this.words.getUint32(at, true),
        sqHead: this.words.getUint16(at + 8, true),
        sqId: this.words.getUint16(at + 10, true),
        id: this.words.getUint16(at + 12, true),
        status: field >> 1,
      });
      pair.head = (pair.head + 1) % pair.entries;
      if (pair.head === 0) pair.phase ^= 1;
    }
    if (out.length > 0 && !quietly) this.store(NVME_REG.cqHead + 8 * queue, pair.head);
    return out;
  }
  /** A command alone; its completion. */
  command(queue: number, fields: CommandFields): CompletionEntry {
    const id = this.submit(queue, fields);
    const completions = this.reap(queue);
    const own = completions.find((completion) => completion.id === id);
    if (!own || completions.length > 1) {
      throw new Error(`command ${id} gave ${JSON.stringify(completions)}`);
    }
    return own;
  }
  admin(fields: CommandFields): CompletionEntry {
    return this.command(0, fields);
  }
  /** The status of a command of I/O queue 1. */
  io(fields: CommandFields): number {
    return this.command(1, { nsid: 1, ...fields }).status;
  }
  /** SGL descriptors, one after the other. */
  sgl(at: number, list: readonly { at?: number; length: number; type: number }[]): void {
    for (const [n, descriptor] of list.entries()) {
      this.words.setBigUint64(at + 16 * n, BigInt(descriptor.at ?? 0), true);
      this.words.setUint32(at + 16 * n + 8, descriptor.length, true);
      this.words.setUint32(at + 16 * n + 12, descriptor.type * 2 ** 24, true);
    }
  }
  /** A range of blocks for dataset management. */
  range(at: number, first: number, blocks: number): void {
    this.words.setUint32(at + 4, blocks, true);
    this.words.setBigUint64(at + 8, BigInt(first), true);
  }
  /** Blocks from or to the place for data, of queue 1. */
  transfer(
    opcode: number,
    slba: number,
    blocks: number,
    at: number = AT.data,
    flags12 = 0,
  ): number {
    const dwords = [slba % 2 ** 32, Math.floor(slba / 2 ** 32), (blocks - 1) | flags12];
    return this.io({ opcode, prp1: at, prp2: (at & ~0xfff) + 0x1000, dwords });
  }
}

/** Enabled, with one pair of I/O queues. */
export function runningNvme(options: DeviceOptions = {}, world: FakeWorld = {}): NvmeRig {
  const rig = new NvmeRig(options, world);
  rig.enable();
  rig.addQueues(1);
  return rig;
}
