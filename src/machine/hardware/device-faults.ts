/**
 * Devices that go wrong: transfers and messages that are lost, late, torn, repeated or led astray, and a device that is gone
 * (PCIe 2.8: a lost read ends as a completion timeout; a posted write that is lost is seen by nobody).
 *
 * A policy says what happens to each; here it is carried out between the device model and its way to memory.
 */
import { EFAULT, type Status } from '../../base/errno.ts';
import type { Clock } from '../../base/clock.ts';
import { refuse } from '../../base/refuse.ts';
import type { DevicePageRequest, DmaPiece } from '../../devices/port.ts';

/** What is to happen to a transfer. Times are in nanoseconds. */
export type TransferFault =
  /** A write reaches nothing, and the device does not learn of it; a read gets no answer. */
  | { readonly kind: 'drop' }
  /** A write is carried out later, with what is mapped then. */
  | { readonly kind: 'delay'; readonly ns: number }
  /** This bit, counted from the first byte's lowest, is the other way round. */
  | { readonly kind: 'corrupt'; readonly bit: number }
  /** A write is carried out again, later. */
  | { readonly kind: 'duplicate'; readonly ns: number }
  /** The second half of a write comes later. */
  | { readonly kind: 'torn'; readonly ns: number }
  /** It goes to this address. */
  | { readonly kind: 'wild'; readonly at: bigint }
  /** The device asks for so many pages before it, from that of the transfer on, and hears no answer. */
  | { readonly kind: 'page-requests'; readonly count: number }
  /** The device is pulled out, and the transfer goes nowhere. */
  | { readonly kind: 'unplug' };
/** What is to happen to a message of an MSI or MSI-X vector. Times are in nanoseconds. */
export type MessageFault =
  | { readonly kind: 'drop' }
  | { readonly kind: 'delay'; readonly ns: number }
  | { readonly kind: 'duplicate'; readonly ns: number };

/** What a device is about to do. */
export interface PlannedTransfer {
  /** '0000:00:04.0' */
  readonly device: string;
  readonly write: boolean;
  /** Bytes. */
  readonly length: number;
  /** The device may ask for pages. */
  readonly mayAskForPages: boolean;
}
/** Says what goes wrong. Undefined: nothing. */
export interface DeviceFaultPolicy {
  faultOfTransfer(transfer: PlannedTransfer): TransferFault | undefined;
  faultOfMessage(device: string): MessageFault | undefined;
}

/** What the faults of a machine's devices need. */
export interface FaultyBus {
  readonly policy: DeviceFaultPolicy;
  readonly clock: Clock;
  /** Pull a device out, in a turn of its own. */
  readonly unplug: (device: string) => void;
}

/** Where a transfer goes: to addresses in a row, or to those of a list. */
type Target = bigint | readonly DmaPiece[];
/** A transfer as the device asks for it. */
interface AskedTransfer extends PlannedTransfer {
  readonly at: Target;
  readonly bytes: Uint8Array;
  /** Carry it out. */
  readonly carryOut: (at: Target, bytes: Uint8Array) => Status<'EFAULT'>;
  /** Ask for a page; the answer is nobody's. */
  readonly askForPage: (request: DevicePageRequest) => void;
}

/** A transfer, with what goes wrong with it. */
export function faultyTransfer(bus: FaultyBus, asked: AskedTransfer): Status<'EFAULT'> {
  const { at, bytes, carryOut, device } = asked;
  const fault = bus.policy.faultOfTransfer(asked);
  if (!fault) return carryOut(at, bytes);
  switch (fault.kind) {
    case 'drop':
      return asked.write ? undefined : lost(device);
    case 'unplug':
      bus.unplug(device);
      return lost(device);
    case 'corrupt':
      return corrupted(asked, fault.bit);
    case 'wild':
      return carryOut(fault.at, bytes);
    case 'page-requests':
      askForPages(asked, fault.count);
      return carryOut(at, bytes);
    default:
      return asked.write ? lateWrite(bus, asked, fault) : carryOut(at, bytes);
  }
}

/** Pages that can be asked for at once: the groups from LAST_GROUP down, which no model uses. */
export const MOST_PAGE_REQUESTS = 256;
const LAST_GROUP = 511;
/** Each in a group of its own, so that each is told to software and waits for an answer. */
function askForPages({ at, write, askForPage }: AskedTransfer, count: number): void {
  const first = typeof at === 'bigint' ? at : (at[0]?.at ?? 0n);
  for (let n = 0; n < count; n++) {
    const page = (first & ~0xfffn) + (BigInt(n) << 12n);
    askForPage({ at: page, read: !write, write, last: true, group: LAST_GROUP - n });
  }
}
function lost(device: string): Status<'EFAULT'> {
  return refuse(EFAULT, 'the transfer was lost on the bus, as was asked', { device });
}
function corrupted({ at, bytes, carryOut, write }: AskedTransfer, bit: number): Status<'EFAULT'> {
  const flip = (data: Uint8Array): void => {
    if (data.length > 0) data[(bit >> 3) % data.length]! ^= 1 << (bit & 7);
  };
  if (write) {
    const copy = bytes.slice();
    flip(copy);
    return carryOut(at, copy);
  }
  const rc = carryOut(at, bytes);
  if (!rc) flip(bytes);
  return rc;
}
/** The device takes it for done: what a late write meets is told as any transfer, and to nobody else. */
function lateWrite(
  { clock }: FaultyBus,
  { at, bytes, carryOut }: AskedTransfer,
  fault: Extract<TransferFault, { readonly ns: number }>,
): Status<'EFAULT'> {
  const copy = bytes.slice();
  const half = fault.kind === 'torn' ? bytes.length >> 1 : 0;
  const [now, later] = fault.kind === 'duplicate' ? [bytes.length, 0] : [half, half];
  const rc = now === 0 ? undefined : carryOut(part(at, 0, now), copy.subarray(0, now));
  clock.after(fault.ns, () => {
    void carryOut(part(at, later, copy.length - later), copy.subarray(later));
  });
  return rc;
}
/** `length` bytes of a target from byte `from` on. */
export function part(at: Target, from: number, length: number): Target {
  if (typeof at === 'bigint') return at + BigInt(from);
  const pieces: DmaPiece[] = [];
  let start = 0;
  for (const piece of at) {
    const first = Math.max(from, start);
    const end = Math.min(from + length, start + piece.length);
    if (end > first) pieces.push({ at: piece.at + BigInt(first - start), length: end - first });
    start += piece.length;
  }
  return pieces;
}

/** A message, with what goes wrong with it. `send`: false where nobody waits for it. */
export function faultyMessage(bus: FaultyBus, device: string, send: () => boolean): boolean {
  const fault = bus.policy.faultOfMessage(device);
  if (!fault) return send();
  if (fault.kind === 'drop') return false;
  bus.clock.after(fault.ns, () => void send());
  return fault.kind === 'duplicate' ? send() : true;
}
