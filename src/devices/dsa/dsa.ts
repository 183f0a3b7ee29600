/**
 * Intel's data streaming accelerator: 8086:0b25, work queues whose portals take descriptors of 64 bytes, alone and in
 * batches (devices.md 3, vfio.md 5.4). The kernel's VFIO selftests, DPDK's dma_idxd and Linux' idxd drive it.
 *
 * What one store of 64 bytes brings begins inside that store, and what is much goes on tick by tick. One engine works
 * for all queues, in the order of coming.
 *
 * NOT IMPLEMENTED: shared work queues and ENQCMD, PASIDs, block on fault, the event log, interrupt message storage,
 * performance counters, interrupt handles, dual cast, CRC, DIF and delta operations, translation fetch, and interrupts of
 * occupancy. MSIX_PERM and GENCFG hold what is written.
 */
import type { DeviceModel, DeviceOptions, DevicePort, DeviceType, PciIdentity } from '../port.ts';
import { offsetsOf, RegisterFile, type RegisterState } from '../unit/registers.ts';
import {
  clearWq,
  enableWq,
  isWqEnabled,
  storeWqWord,
  whyNotDevice,
  whyNotWq,
  wqConfig,
  type Most,
} from './configuration.ts';
import { DESCRIPTOR_SIZE, OPERATIONS, STATUS } from './descriptor.ts';
import { Engine, type DsaEngineState, type SoftwareError } from './engine.ts';
import {
  CAUSE,
  CMD,
  CMD_INTERRUPT,
  CMDERR,
  CMDSTS_ACTIVE,
  DSA_REGISTERS,
  GENCTRL_ERROR_INTERRUPT,
  MOST_WQS,
  TABLE_OFFSETS,
  TOTAL_WQ_SIZE,
  VECTORS,
} from './registers.ts';

export * from './descriptor.ts';
export * from './registers.ts';
export const DSA_REG = offsetsOf(DSA_REGISTERS);
/** The BAR of the portals, and log2 of the bytes of those of one work queue. */
export const DSA_PORTALS = 2;
export const DSA_PORTAL_LG2 = 14;

const OPTIONS = {
  wqs: { kind: 'integer', default: 4, min: 1, max: MOST_WQS, help: 'work queues' },
  max_xfer_shift: {
    kind: 'integer',
    default: 16,
    min: 12,
    max: 21,
    help: 'log2 of the most bytes of one descriptor',
  },
  max_batch_shift: {
    kind: 'integer',
    default: 10,
    min: 1,
    max: 10,
    help: 'log2 of the most descriptors of one batch',
  },
} as const;

export const dsa: DeviceType = {
  type: 'dsa',
  summary: 'Intel DSA: moves, fills and compares memory, alone and in batches (8086:0b25)',
  migratable: true,
  options: OPTIONS,
  registers: [{ bar: 0, table: DSA_REGISTERS }],
  identity: (options) => identityOf(Number(options['wqs'])),
  create: (port, options) => new Dsa(port, options),
};

function identityOf(wqs: number): PciIdentity {
  const portals = 2 ** Math.ceil(Math.log2(wqs)) * 2 ** DSA_PORTAL_LG2;
  return {
    vendor: 0x8086,
    device: 0x0b25,
    revision: 0,
    classCode: 0x08_80_00,
    bars: [
      { index: 0, size: 0x1_0000, kind: 'mem64', prefetchable: true },
      { index: DSA_PORTALS, size: portals, kind: 'mem64', prefetchable: true },
    ],
    interruptPin: 0,
    powerManagement: true,
    pcie: { flr: true, type: 'endpoint' },
    msix: { vectors: VECTORS, bar: 0, tableOffset: 0x8000, pbaOffset: 0xc000 },
  };
}

/** A command that waits for what has come before it. */
interface Pending {
  readonly command: number;
  /** It is over when so many descriptors have ended. */
  readonly until: number;
}
/** What a dsa is at one moment. */
interface DsaState {
  readonly registers: RegisterState;
  readonly engine: DsaEngineState;
  readonly pending: Pending | undefined;
}

class Dsa implements DeviceModel {
  readonly #port: DevicePort;
  readonly #most: Most;
  readonly #engine: Engine;
  readonly #registers: RegisterFile<typeof DSA_REGISTERS> = new RegisterFile(
    DSA_REGISTERS,
    {
      cmd: (value) => this.#command(Number(value)),
      grpcfg: (value, index) => {
        if (!this.#isEnabled) this.#registers.set('grpcfg', value, index);
      },
      wqcfg: (value, index) => storeWqWord(this.#registers, this.#most, index, value),
      swerr: (value, index) => this.#clearError(value, index),
    },
    { widths: 'bytes', absent: 'zeros' },
  );
  #pending: Pending | undefined;

  constructor(port: DevicePort, options: DeviceOptions) {
    this.#port = port;
    this.#most = {
      wqs: Number(options['wqs']),
      transferLg2: Number(options['max_xfer_shift']),
      batchLg2: Number(options['max_batch_shift']),
    };
    this.#engine = new Engine({
      port,
      limits: (wq) => {
        const { transferLg2, batchLg2 } = wqConfig(this.#registers, wq);
        return { bytes: 2 ** transferLg2, members: 2 ** batchLg2 };
      },
      softwareError: (error) => this.#softwareError(error),
      progress: () => this.#progress(),
    });
  }

  powerOn(): void {
    const { wqs, transferLg2, batchLg2 } = this.#most;
    this.#pending = undefined;
    this.#engine.restore({ queue: [], count: 0, operation: undefined, leftNs: undefined });
    const registers = this.#registers;
    registers.reset();
    //                          configuration may be changed, and moves may overlap
    const gencap = (1n << 31n) | 2n | (BigInt(transferLg2) << 16n) | (BigInt(batchLg2) << 21n);
    registers.set('gencap', gencap);
    //                          dedicated, with priorities, entries of 64 bytes
    const kinds = (1n << 49n) | (1n << 51n) | (1n << 24n);
    registers.set('wqcap', BigInt(TOTAL_WQ_SIZE) | (BigInt(wqs) << 16n) | kinds);
    registers.set('opcap', OPERATIONS);
    registers.set('offsets', TABLE_OFFSETS);
  }
  reset(): void {
    this.powerOn();
  }
  mmioRead(bar: number, offset: number, width: number): bigint {
    return bar === 0 ? this.#registers.load(offset, width) : 0n;
  }
  /** Portals take 64 bytes and nothing else. */
  mmioWrite(bar: number, offset: number, width: number, value: bigint): void {
    if (bar === 0) this.#registers.store(offset, width, value);
  }
  mmioWrite64(bar: number, offset: number, bytes: Uint8Array): void {
    if (bar === DSA_PORTALS) this.#submit(offset >> DSA_PORTAL_LG2, bytes);
    else {
      const words = new DataView(bytes.buffer, bytes.byteOffset);
      for (let at = 0; at < bytes.length; at += 8) {
        this.#registers.store(offset + at, 8, words.getBigUint64(at, true));
      }
    }
  }
  registerName(bar: number, offset: number): string | undefined {
    if (bar === 0) return this.#registers.nameAt(offset);
    return offset % DESCRIPTOR_SIZE === 0 ? `portal[${offset >> DSA_PORTAL_LG2}]` : undefined;
  }
  state(): DsaState {
    return {
      registers: this.#registers.state(),
      engine: this.#engine.state(),
      pending: this.#pending,
    };
  }
  restore(state: DsaState): void {
    this.#registers.restore(state.registers);
    this.#engine.restore(state.engine);
    this.#pending = state.pending;
  }

  get #isEnabled(): boolean {
    return this.#registers.get('gensts') !== 0n;
  }
  /** A queue that is full, not enabled, or about to be disabled takes nothing. */
  #submit(wq: number, bytes: Uint8Array): void {
    const registers = this.#registers;
    if (wq >= this.#most.wqs || !this.#isEnabled || !isWqEnabled(registers, wq)) return;
    if (this.#isEnding(wq)) return;
    if (this.#engine.waiting(wq) >= wqConfig(registers, wq).size) return;
    this.#engine.submit(wq, bytes.slice());
  }

  #isEnding(wq: number): boolean {
    const command = this.#pending?.command ?? 0;
    const code = (command >>> 20) & 0x1f;
    if (code === CMD.disableDevice) return true;
    return code === CMD.disableWq && namedWqs(command).includes(wq);
  }
  #command(command: number): void {
    if (this.#pending) return;
    this.#registers.set('cmd', BigInt(command));
    const code = (command >>> 20) & 0x1f;
    const error = this.#refusal(code, command);
    if (error === 0 && WAITING.has(code)) {
      this.#pending = { command, until: this.#engine.count };
      this.#registers.set('cmdsts', BigInt(CMDSTS_ACTIVE));
      this.#progress();
      return;
    }
    if (error === 0) this.#carryOut(code, command);
    this.#endCommand(command, error);
  }
  #progress(): void {
    const pending = this.#pending;
    if (!pending || this.#engine.ended < pending.until) return;
    this.#pending = undefined;
    this.#carryOut((pending.command >>> 20) & 0x1f, pending.command);
    this.#endCommand(pending.command, 0);
  }
  #endCommand(command: number, error: number): void {
    this.#registers.set('cmdsts', BigInt(error));
    if (command >>> 0 >= CMD_INTERRUPT) this.#interrupt(CAUSE.command);
  }

  /** A code of CMDERR, 0 when the command can be carried out. */
  #refusal(code: number, operand: number): number {
    const registers = this.#registers;
    if (code === CMD.resetDevice) return 0;
    if (code === CMD.enableDevice) return this.#whyNotEnable();
    if (code === CMD.enableWq) {
      const wq = operand & 0xf_ffff;
      if (!this.#isEnabled) return CMDERR.deviceNotEnabled;
      return wq < this.#most.wqs ? whyNotWq(registers, this.#most, wq) : CMDERR.wqIndex;
    }
    if (!KNOWN.has(code)) return CMDERR.command;
    if (!OF_WQS.has(code)) return this.#isEnabled ? 0 : CMDERR.notEnabled;
    if (!this.#isEnabled) return CMDERR.wqNotUsable;
    return namedWqs(operand).every((wq) => wq < this.#most.wqs) ? 0 : CMDERR.wqIndex;
  }
  #whyNotEnable(): number {
    if (this.#isEnabled) return CMDERR.deviceEnabled;
    if (!this.#port.config.is('busMaster')) return CMDERR.busMaster;
    return whyNotDevice(this.#registers, this.#most);
  }
  #carryOut(code: number, operand: number): void {
    const registers = this.#registers;
    const named = namedWqs(operand);
    switch (code) {
      case CMD.enableDevice:
        registers.set('gensts', 1n);
        break;
      case CMD.disableDevice:
        this.#disableDevice();
        break;
      case CMD.abortAll:
      case CMD.abortPasid:
        this.#engine.abort(() => true);
        break;
      case CMD.resetDevice:
        this.#resetDevice();
        break;
      case CMD.enableWq:
        enableWq(registers, operand & 0xf_ffff, true);
        break;
      case CMD.disableWq:
        for (const wq of named) enableWq(registers, wq, false);
        break;
      case CMD.abortWq:
        this.#engine.abort((wq) => named.includes(wq));
        break;
      case CMD.resetWq:
        this.#engine.abort((wq) => named.includes(wq));
        for (const wq of named) clearWq(registers, wq);
    }
  }
  #disableDevice(): void {
    for (let wq = 0; wq < this.#most.wqs; wq++) enableWq(this.#registers, wq, false);
    this.#registers.set('gensts', 0n);
  }
  #resetDevice(): void {
    this.#engine.abort(() => true);
    this.#registers.reset(['wqcfg', 'grpcfg', 'swerr', 'intcause', 'gensts']);
  }

  #clearError(left: bigint, index: number): void {
    if (index !== 0) return;
    if (left & 1n) this.#registers.set('swerr', left, 0);
    else this.#registers.reset(['swerr']);
  }
  /** A second one before the first is cleared shows in a bit. */
  #softwareError({ wq, outcome, descriptor, member }: SoftwareError): void {
    const registers = this.#registers;
    const old = registers.get('swerr', 0);
    if (old & 1n) registers.set('swerr', old | 2n, 0);
    else {
      const isWrite =
        outcome.status === (STATUS.fault | STATUS.write) || outcome.status === STATUS.recordFault;
      const word =
        (member === undefined ? 0x0d : 0x1d) + (isWrite ? 0x20 : 0) + (outcome.status << 8);
      const operation = BigInt(descriptor.operation >>> 24);
      registers.set('swerr', BigInt(word) | (BigInt(wq) << 16n) | (operation << 32n), 0);
      registers.set('swerr', BigInt(member ?? 0), 1);
      registers.set('swerr', outcome.faultAddress ?? 0n, 2);
    }
    this.#registers.set('intcause', registers.get('intcause') | BigInt(CAUSE.softwareError));
    if (Number(registers.get('genctrl')) & GENCTRL_ERROR_INTERRUPT) this.#port.irq.message(0);
  }
  #interrupt(cause: number): void {
    this.#registers.set('intcause', this.#registers.get('intcause') | BigInt(cause));
    this.#port.irq.message(0);
  }
}

/** Commands that end when everything before them has. */
const WAITING: ReadonlySet<number> = new Set([
  CMD.disableDevice,
  CMD.drainAll,
  CMD.disableWq,
  CMD.drainWq,
  CMD.drainPasid,
]);
/** Those of work queues, named by bits. */
const OF_WQS: ReadonlySet<number> = new Set([CMD.disableWq, CMD.drainWq, CMD.abortWq, CMD.resetWq]);
const KNOWN: ReadonlySet<number> = new Set(Object.values(CMD));

/** Bits 15:0 name some of the 16 that bits 19:16 choose. */
function namedWqs(operand: number): number[] {
  const first = 16 * ((operand >>> 16) & 0xf);
  return Array.from({ length: 16 }, (_, n) => n)
    .filter((n) => (operand & (1 << n)) !== 0)
    .map((n) => first + n);
}
