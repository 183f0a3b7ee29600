/** A data streaming accelerator in a port of its own, and descriptors for it. */
import type { DeviceModel } from '../../devices/port.ts';
import { plugInto, type FakePort } from './fake-port.ts';
import {
  CMD,
  dsa,
  DSA_DESCRIPTOR,
  DSA_PORTALS,
  DSA_RECORD,
  DSA_REG as REG,
  FLAG,
  OP,
} from '../../devices/dsa/dsa.ts';

export const SRC = 0x2000;
export const DST = 0x8000;
export const RECORD = 0x1000;
export const LIST = 0x1_0000;
export const NOWHERE = 0x7fff_0000n;
export const WQCFG = 0x500;
export const GRPCFG = 0x400;

export interface Wanted {
  readonly op?: number;
  readonly flags?: number;
  readonly src?: bigint | number;
  readonly dst?: bigint | number;
  readonly size?: number;
  readonly record?: bigint | number;
  readonly vector?: number;
}
export const RECORDED = FLAG.recordValid | FLAG.recordAlways;

/** A move of 4 KiB with a record, but for what is said. */
export function dsaDescriptor(wanted: Wanted = {}): Uint8Array {
  const { op = OP.move, flags = RECORDED, src = SRC, dst = DST, size = 4096 } = wanted;
  return DSA_DESCRIPTOR.make({
    operation: ((op << 24) | flags) >>> 0,
    completion: BigInt(wanted.record ?? RECORD),
    src: BigInt(src),
    dst: BigInt(dst),
    size,
    interrupt: wanted.vector ?? 0,
  }).bytes;
}

export function dsaRig(options: Record<string, number> = {}) {
  const rig = plugInto(dsa, options, { memory: 0x4_0000 });
  rig.port.memory.set(
    Array.from({ length: 4096 }, (_, n) => n * 7 + 1),
    SRC,
  );
  return dsaDriver(rig);
}
/** What a driver of it does. */
export function dsaDriver({ device, port }: { device: DeviceModel; port: FakePort }) {
  const read = (at: number, width = 4): bigint => device.mmioRead(0, at, width);
  const write = (at: number, value: number | bigint, width = 4): void =>
    device.mmioWrite(0, at, width, BigInt(value));
  return {
    device,
    port,
    read,
    write,
    /** What CMDSTS says of it. */
    command: (code: number, operand = 0): number => {
      write(REG.cmd, ((code << 20) | operand) >>> 0);
      return Number(read(REG.cmdsts));
    },
    submit: (bytes: Uint8Array, wq = 0): void => device.mmioWrite64!(DSA_PORTALS, wq << 14, bytes),
    record(at = RECORD) {
      const { status, result, completed, faultAddress } = DSA_RECORD.view(
        port.memory.subarray(at, at + 32),
      );
      return { status, result, completed, faultAddress };
    },
    moved: (to = DST, size = 4096) =>
      port.memory.subarray(to, to + size).every((byte, n) => byte === port.memory[SRC + n]),
  };
}
export type DsaRig = ReturnType<typeof dsaRig>;

/** Two work queues of 16 with a group and an engine each, as DPDK has it. */
export function configureDsa({ write }: DsaRig, transfer = 16, batch = 10): void {
  for (const n of [0, 1]) {
    write(GRPCFG + 64 * n, 1 << n, 8);
    write(GRPCFG + 64 * n + 32, 1 << n, 8);
    write(WQCFG + 64 * n, 16);
    write(WQCFG + 64 * n + 8, 0x11);
    write(WQCFG + 64 * n + 12, transfer | (batch << 5));
  }
}
export function enabledDsa(options: Record<string, number> = {}): DsaRig {
  const rig = dsaRig(options);
  configureDsa(rig);
  const errors = [
    rig.command(CMD.enableDevice),
    rig.command(CMD.enableWq, 0),
    rig.command(CMD.enableWq, 1),
  ];
  if (errors.some((error) => error !== 0)) throw new Error(`not enabled: ${errors.join()}`);
  return rig;
}
/** Moves of 256 bytes to neighbouring places, with records on failure only. */
export function putDsaBatch(
  { port }: DsaRig,
  change: Readonly<Record<number, Wanted>> = {},
  count = 16,
): void {
  for (let n = 0; n < count; n++) {
    const usual = { size: 256, dst: DST + 256 * n, src: SRC, flags: FLAG.recordValid };
    const record = LIST + 0x1000 + 32 * n;
    port.memory.set(dsaDescriptor({ ...usual, record, ...change[n] }), LIST + 64 * n);
  }
}
export const dsaBatch = (wanted: Wanted = {}): Uint8Array =>
  dsaDescriptor({ op: OP.batch, src: LIST, size: 16, ...wanted });
