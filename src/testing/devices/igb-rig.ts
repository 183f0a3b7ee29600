/** A driver of one 82576 on a fake port: rings at fixed places, frames in and out. */
import { igb } from '../../devices/igb/igb.ts';
import { offsetsOf } from '../../devices/unit/registers.ts';
import { IGB_REGISTERS } from '../../devices/igb/registers.ts';
import type { DeviceOptions } from '../../devices/port.ts';
import { plugInto, type FakeWorld } from './fake-port.ts';

export const REG = offsetsOf(IGB_REGISTERS);
/** Where the rig has its rings and buffers. */
export const AT = { txRing: 0x1000, rxRing: 0x2000, tx: 0x1_0000, rx: 0x4_0000 } as const;
export const RING = 64;
const BUFFER = 2048;
const MEMORY = 0x10_0000;

/** Bits of the second dword pair of a transmit descriptor. */
export const TX = {
  EOP: 1 << 24,
  RS: 1 << 27,
  VLE: 1 << 30,
  TSE: 1 << 31,
  IXSM: 1 << 8,
  TXSM: 1 << 9,
} as const;
const DATA = 0x2230_0000;
const CONTEXT = 0x2020_0000;

/** What a transmit descriptor says besides address and length. */
export interface TxFlags {
  readonly command?: number;
  readonly options?: number;
}
/** A frame as it was received, and the words of its last descriptor. */
export interface Received {
  readonly frame: Uint8Array;
  readonly first: number;
  readonly hash: number;
  readonly status: number;
  readonly vlan: number;
}

/** A device at power-on and what drives it. */
export function igbRig(options: DeviceOptions = {}, world: FakeWorld = {}) {
  const { device, port } = plugInto(igb, options, { memory: MEMORY, ...world });
  const view = new DataView(port.memory.buffer);
  const read = (at: number): number => Number(device.mmioRead(0, at, 4));
  const write = (at: number, value: number): void =>
    device.mmioWrite(0, at, 4, BigInt(value >>> 0));
  const bus = { memory: port.memory, view, write, tick: () => port.clock.advance(1000) };
  return { device, port, read, ...bus, ...starter(bus), ...sender(bus), ...receiver(bus) };
}

interface RigBus {
  readonly memory: Uint8Array;
  readonly view: DataView;
  readonly write: (at: number, value: number) => void;
  readonly tick: () => void;
}

function starter({ view, write }: RigBus) {
  /** EN, UPE, MPE, BAM, SECRC, and what else; rings of RING descriptors, all but one for the device. */
  const start = (rctl = 0x0400_801a): void => {
    write(REG.tdbal, AT.txRing);
    write(REG.tdlen, RING * 16);
    write(REG.rdbal, AT.rxRing);
    write(REG.rdlen, RING * 16);
    write(REG.srrctl, 0x0200_0000);
    for (let n = 0; n < RING; n++) {
      view.setBigUint64(AT.rxRing + 16 * n, BigInt(AT.rx + n * BUFFER), true);
      view.setBigUint64(AT.rxRing + 16 * n + 8, 0n, true);
    }
    write(REG.rctl, rctl);
    write(REG.tctl, 0xa);
    write(REG.rdt, RING - 1);
  };
  return { start };
}

function sender({ memory, view, write, tick }: RigBus) {
  let [tail, buffer] = [0, 0];
  /** A descriptor as it stands. Where it is. */
  const put = (at: bigint, command: number, options: number): number => {
    const entry = AT.txRing + 16 * tail;
    view.setBigUint64(entry, at, true);
    view.setUint32(entry + 8, command, true);
    view.setUint32(entry + 12, options, true);
    tail = (tail + 1) % RING;
    return entry;
  };
  /** A part of a frame; its bytes lie in memory from AT.tx on. */
  const piece = (bytes: Uint8Array, { command = 0, options = 0 }: TxFlags = {}): number => {
    if (buffer + bytes.length > AT.rx - AT.tx) buffer = 0;
    const at = AT.tx + buffer;
    buffer += (bytes.length + 15) & ~15;
    memory.set(bytes, at);
    return put(BigInt(at), DATA | command | bytes.length, options);
  };
  /** A whole frame in one descriptor, reported. */
  const queue = (frame: Uint8Array, { command = 0, options = 0 }: TxFlags = {}): number =>
    piece(frame, { command: command | TX.EOP | TX.RS, options });
  const context = (words: readonly [number, number, number]): number =>
    put(BigInt(words[0] >>> 0), CONTEXT | words[1], words[2]);
  const ring = (): void => write(REG.tdt, tail);
  const send = (...frames: Uint8Array[]): number[] => {
    const entries = frames.map((frame) => queue(frame));
    ring();
    tick();
    return entries;
  };
  return { put, piece, queue, context, ring, send };
}

function receiver({ memory, view, write }: RigBus) {
  let head = 0;
  /** Frames that have been received since the last look; their descriptors are given back. */
  const received = (): Received[] => {
    const out: Received[] = [];
    const parts: number[] = [];
    for (;;) {
      const entry = AT.rxRing + 16 * head;
      const status = view.getUint32(entry + 8, true);
      if ((status & 1) === 0) return out;
      const at = AT.rx + head * BUFFER;
      parts.push(...memory.subarray(at, at + view.getUint16(entry + 12, true)));
      if ((status & 2) !== 0) {
        out.push({
          frame: Uint8Array.from(parts.splice(0)),
          first: view.getUint32(entry, true),
          hash: view.getUint32(entry + 4, true),
          status,
          vlan: view.getUint16(entry + 14, true),
        });
      }
      view.setBigUint64(entry, BigInt(at), true);
      view.setBigUint64(entry + 8, 0n, true);
      write(REG.rdt, head);
      head = (head + 1) % RING;
    }
  };
  return { received };
}

/** A frame that is no IP: `length` bytes, for this station unless another is given. */
export function plainFrame(length: number, to: readonly number[] = [2, 0, 0, 0, 0, 1]): Uint8Array {
  const frame = Uint8Array.from({ length }, (_, n) => (n * 7) & 0xff);
  frame.set(to.slice(0, length));
  frame.set([0x88, 0xb5].slice(0, Math.max(0, length - 12)), Math.min(12, length));
  return frame;
}
