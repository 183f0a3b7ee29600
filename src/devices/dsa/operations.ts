/**
 * What an accelerator does with memory: moves, fills, comparisons (devices.md 3.3). Up to where a transfer is refused
 * everything has been done, and the outcome says how far that is.
 */
import type { DeviceDma } from '../port.ts';
import { fillPattern } from '../unit/pattern.ts';
import { OP, STATUS, type DsaDescriptor, type DescriptorOutcome } from './descriptor.ts';

const DONE: DescriptorOutcome = { status: STATUS.success };
const PAGE = 0xfffn;

/** Operations that move bytes, by opcode. The size has been checked. */
export function operate(opcode: number, wanted: DsaDescriptor, dma: DeviceDma): DescriptorOutcome {
  switch (opcode) {
    case OP.move:
      return move(wanted, dma);
    case OP.fill:
      return written(dma, wanted.dst, fillPattern(new Uint8Array(wanted.size), wanted.src)) ?? DONE;
    case OP.compare:
      return compare(wanted, dma);
    case OP.comparePattern:
      return comparePattern(wanted, dma);
    default:
      return DONE;
  }
}

/** All is read before anything is written, so that ranges may overlap. */
function move({ src, dst, size }: DsaDescriptor, dma: DeviceDma): DescriptorOutcome {
  const bytes = new Uint8Array(size);
  const fault = readInto(dma, src, bytes);
  return written(dma, dst, bytes.subarray(0, fault?.completed ?? size)) ?? fault ?? DONE;
}
function compare({ src, dst, size }: DsaDescriptor, dma: DeviceDma): DescriptorOutcome {
  const [a, b] = [new Uint8Array(size), new Uint8Array(size)];
  const faults = [readInto(dma, src, a), readInto(dma, dst, b)];
  return compared(a, b, faults);
}
function comparePattern({ src, dst, size }: DsaDescriptor, dma: DeviceDma): DescriptorOutcome {
  const bytes = new Uint8Array(size);
  return compared(bytes, fillPattern(new Uint8Array(size), dst), [readInto(dma, src, bytes)]);
}
/** A difference before the first fault is a difference. */
function compared(
  a: Uint8Array,
  b: Uint8Array,
  faults: readonly (DescriptorOutcome | undefined)[],
): DescriptorOutcome {
  const came = (fault: DescriptorOutcome | undefined): number => fault?.completed ?? a.length;
  const [first] = [...faults].sort((one, other) => came(one) - came(other));
  for (let at = 0; at < came(first); at++) {
    if (a[at] !== b[at]) return { status: STATUS.success, result: 1, completed: at };
  }
  return first ?? DONE;
}

function readInto(dma: DeviceDma, at: bigint, bytes: Uint8Array): DescriptorOutcome | undefined {
  return dma.read(at, bytes) && faultAt(at, dma.moved, STATUS.fault);
}
function written(dma: DeviceDma, at: bigint, bytes: Uint8Array): DescriptorOutcome | undefined {
  if (bytes.length === 0) return undefined;
  return dma.write(at, bytes) && faultAt(at, dma.moved, STATUS.fault | STATUS.write);
}
/** The outcome of a transfer to `at` that came so far. */
export function faultAt(at: bigint, completed: number, status: number): DescriptorOutcome {
  const address = BigInt.asUintN(64, at + BigInt(completed)) & ~PAGE;
  return { status, completed, faultAddress: address };
}
