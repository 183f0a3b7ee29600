/**
 * What the transmitter of the 82576 makes of a frame (devices.md 1.6): checksums, segments, a VLAN tag, padding.
 *
 * Lengths come from descriptors, and descriptors lie: an offload that does not fit into the frame is not done, and a
 * frame that cannot be cut into segments is none.
 */
import { complement, crc32c, wordSum } from '../unit/checksums.ts';
import { be16, PROTOCOL } from './headers.ts';

/** A context descriptor: what the frames that name it have in common. */
export interface TxContext {
  /** Bytes. */
  readonly macLength: number;
  readonly ipLength: number;
  readonly transportLength: number;
  /** Payload of a segment, bytes. */
  readonly mss: number;
  readonly vlan: number;
  readonly isIpv4: boolean;
  /** UDP, TCP or SCTP, by its number of IP. */
  readonly protocol: number;
}
export const NO_CONTEXT: TxContext = {
  macLength: 0,
  ipLength: 0,
  transportLength: 0,
  mss: 0,
  vlan: 0,
  isIpv4: false,
  protocol: PROTOCOL.UDP,
};
/** L4T of a context, in its order. */
const PROTOCOLS = [PROTOCOL.UDP, PROTOCOL.TCP, PROTOCOL.SCTP, 0];

/** From the four words of a context descriptor. */
export function contextOf(words: DataView): TxContext {
  const first = words.getUint32(0, true);
  const third = words.getUint32(8, true);
  const last = words.getUint32(12, true);
  return {
    macLength: (first >>> 9) & 0x7f,
    ipLength: first & 0x1ff,
    transportLength: (last >>> 8) & 0xff,
    mss: last >>> 16,
    vlan: first >>> 16,
    isIpv4: (third & (1 << 10)) !== 0,
    protocol: PROTOCOLS[(third >>> 11) & 3]!,
  };
}

/** What is asked for one frame. */
export interface TxOffloads {
  readonly context: TxContext;
  readonly ipChecksum: boolean;
  readonly transportChecksum: boolean;
  readonly segment: boolean;
  readonly tag: boolean;
}

/** Segments of one frame; a descriptor that wants more lies. */
export const MOST_SEGMENTS = 1536;
const LEAST_FRAME = 60;
const TPID = 0x8100;

/** The frames that go out, each new or as it was given. None: it cannot be cut as was asked. */
export function offloaded(frame: Uint8Array, offloads: TxOffloads): readonly Uint8Array[] {
  const { context, segment, tag } = offloads;
  const frames = segment ? segmentsOf(frame, context, offloads) : [summed(frame, offloads)];
  return tag ? frames.map((one) => tagged(one, context.vlan)) : frames;
}

/** With zeros behind it, up to the least frame. */
export function padded(frame: Uint8Array): Uint8Array {
  if (frame.length >= LEAST_FRAME) return frame;
  const out = new Uint8Array(LEAST_FRAME);
  out.set(frame);
  return out;
}

function summed(frame: Uint8Array, offloads: TxOffloads): Uint8Array {
  if (!offloads.ipChecksum && !offloads.transportChecksum) return frame;
  const out = frame.slice();
  const { context } = offloads;
  if (offloads.ipChecksum) sumIp(out, context);
  if (offloads.transportChecksum) sumTransport(out, context, 0);
  return out;
}

function sumIp(frame: Uint8Array, { macLength, ipLength, isIpv4 }: TxContext): void {
  const end = macLength + ipLength;
  if (!isIpv4 || ipLength < 20 || end > frame.length) return;
  put16(frame, macLength + 10, 0);
  put16(frame, macLength + 10, complement(wordSum(frame, macLength, end)));
}

/** Where the checksum of a transport header is. */
const SUM_AT: Readonly<Record<number, number>> = { 6: 16, 17: 6, 132: 8 };

/** The field holds the sum of the pseudo header, perhaps without its length: that is `more`. */
function sumTransport(frame: Uint8Array, context: TxContext, more: number): void {
  const { macLength, ipLength, protocol } = context;
  const start = macLength + ipLength;
  const field = start + (SUM_AT[protocol] ?? frame.length);
  if (protocol === PROTOCOL.SCTP) {
    if (field + 4 > frame.length) return;
    frame.fill(0, field, field + 4);
    new DataView(frame.buffer, frame.byteOffset).setUint32(field, crc32c(frame, start), true);
    return;
  }
  if (field + 2 > frame.length) return;
  const sum = complement(wordSum(frame, start, frame.length, more));
  put16(frame, field, sum === 0 && protocol === PROTOCOL.UDP ? 0xffff : sum);
}

function segmentsOf(
  frame: Uint8Array,
  context: TxContext,
  offloads: TxOffloads,
): readonly Uint8Array[] {
  const { macLength, ipLength, transportLength, mss, protocol } = context;
  const transport = macLength + ipLength;
  const header = transport + transportLength;
  const payload = frame.length - header;
  const leastHeader = protocol === PROTOCOL.TCP ? 20 : 8;
  const count = Math.max(1, Math.ceil(payload / mss));
  const fits = ipLength >= (context.isIpv4 ? 20 : 40) && transportLength >= leastHeader;
  if (!fits || mss === 0 || payload < 0 || count > MOST_SEGMENTS) return [];
  return Array.from({ length: count }, (_, n) => {
    const from = header + n * mss;
    const piece = frame.subarray(from, from + mss);
    const out = new Uint8Array(header + piece.length);
    out.set(frame.subarray(0, header));
    out.set(piece, header);
    fixIp(out, context, n);
    fixTransport(out, context, { n, isLast: n === count - 1 });
    if (offloads.ipChecksum) sumIp(out, context);
    if (offloads.transportChecksum) sumTransport(out, context, out.length - transport);
    return out;
  });
}

function fixIp(segment: Uint8Array, { macLength, isIpv4 }: TxContext, n: number): void {
  if (!isIpv4) {
    put16(segment, macLength + 4, segment.length - macLength - 40);
    return;
  }
  put16(segment, macLength + 2, segment.length - macLength);
  put16(segment, macLength + 4, be16(segment, macLength + 4) + n);
}

const FIN_PSH = 0x09;
function fixTransport(
  segment: Uint8Array,
  { macLength, ipLength, mss, protocol }: TxContext,
  { n, isLast }: { readonly n: number; readonly isLast: boolean },
): void {
  const at = macLength + ipLength;
  if (protocol !== PROTOCOL.TCP) {
    put16(segment, at + 4, segment.length - at);
    return;
  }
  const words = new DataView(segment.buffer);
  words.setUint32(at + 4, words.getUint32(at + 4) + n * mss);
  if (!isLast) segment[at + 13]! &= ~FIN_PSH;
}

/** A tag behind the addresses. */
function tagged(frame: Uint8Array, vlan: number): Uint8Array {
  if (frame.length < 12) return frame;
  const out = new Uint8Array(frame.length + 4);
  out.set(frame.subarray(0, 12));
  put16(out, 12, TPID);
  put16(out, 14, vlan);
  out.set(frame.subarray(12), 16);
  return out;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
