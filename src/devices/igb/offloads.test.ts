/** Offloads against plain code: headers built from fields, checksums added word by word. */
import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { crc32c } from '../unit/checksums.ts';
import { MOST_SEGMENTS, NO_CONTEXT, offloaded, type TxContext } from './offloads.ts';

const MAC = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const [TCP, UDP, SCTP] = [6, 17, 132];
const HEADER: Readonly<Record<number, number>> = { [TCP]: 20, [UDP]: 8, [SCTP]: 12 };
const SUM_AT: Readonly<Record<number, number>> = { [TCP]: 16, [UDP]: 6, [SCTP]: 8 };

/** What a frame is made of. */
interface Datagram {
  readonly version: 4 | 6;
  readonly protocol: number;
  readonly id: number;
  readonly sequence: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

const hi = (value: number): number => (value >>> 8) & 0xff;
const lo = (value: number): number => value & 0xff;

/** The ones-complement sum, added and folded a word at a time. */
function plainSum(bytes: readonly number[], start: number): number {
  let sum = start;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += bytes[at]! * 256 + (bytes[at + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}
function addresses(version: 4 | 6): number[] {
  return Array.from({ length: version === 4 ? 8 : 32 }, (_, n) => (n * 37 + 10) & 0xff);
}
function pseudo({ version, protocol }: Datagram, length: number): number {
  return plainSum([...addresses(version), 0, protocol, hi(length), lo(length)], 0);
}

function transportOf(datagram: Datagram): number[] {
  const { protocol, sequence, flags, payload } = datagram;
  const ports = [0x30, 0x39, 0, 80];
  if (protocol === UDP) {
    const length = 8 + payload.length;
    return [...ports, hi(length), lo(length), 0, 0];
  }
  if (protocol === SCTP) return [...ports, 1, 2, 3, 4, 0, 0, 0, 0];
  const word = [24, 16, 8, 0].map((shift) => (sequence >>> shift) & 0xff);
  return [...ports, ...word, 0, 0, 0, 1, 0x50, flags, 0x10, 0, 0, 0, 0, 0];
}
function ipOf({ version, protocol, id }: Datagram, length: number): number[] {
  const [from, to] = [addresses(version).slice(0, version === 4 ? 4 : 16), addresses(version)];
  if (version === 6) {
    return [0x60, 0, 0, 0, hi(length), lo(length), protocol, 64, ...from, ...to.slice(16)];
  }
  const total = length + 20;
  const head = [0x45, 0, hi(total), lo(total), hi(id), lo(id), 0x40, 0, 64, protocol, 0, 0];
  return [...head, ...from, ...to.slice(4)];
}

/** As software gives it: the transport's field holds the sum of the pseudo header, with this length. */
function given(datagram: Datagram, pseudoLength: number): Uint8Array {
  const transport = transportOf(datagram);
  const at = SUM_AT[datagram.protocol]!;
  if (datagram.protocol !== SCTP) {
    const sum = pseudo(datagram, pseudoLength);
    [transport[at], transport[at + 1]] = [hi(sum), lo(sum)];
  }
  return joined(datagram, transport);
}
/** As it must be on the wire. */
function wanted(datagram: Datagram): Uint8Array {
  const transport = transportOf(datagram);
  const at = SUM_AT[datagram.protocol]!;
  const whole = [...transport, ...datagram.payload];
  if (datagram.protocol === SCTP) {
    const crc = crc32c(Uint8Array.from(whole));
    for (let n = 0; n < 4; n++) transport[at + n] = (crc >>> (8 * n)) & 0xff;
  } else {
    let sum = 0xffff - plainSum(whole, pseudo(datagram, whole.length));
    if (sum === 0 && datagram.protocol === UDP) sum = 0xffff;
    [transport[at], transport[at + 1]] = [hi(sum), lo(sum)];
  }
  const frame = joined(datagram, transport);
  if (datagram.version === 4) {
    const sum = 0xffff - plainSum([...frame.subarray(14, 34)], 0);
    frame.set([hi(sum), lo(sum)], 24);
  }
  return frame;
}
function joined(datagram: Datagram, transport: readonly number[]): Uint8Array {
  const { version, payload } = datagram;
  const ip = ipOf(datagram, transport.length + payload.length);
  const type = version === 4 ? [8, 0] : [0x86, 0xdd];
  return Uint8Array.from([...MAC, ...type, ...ip, ...transport, ...payload]);
}
function contextOf({ version, protocol }: Datagram, mss = 0): TxContext {
  return {
    macLength: 14,
    ipLength: version === 4 ? 20 : 40,
    transportLength: HEADER[protocol]!,
    mss,
    vlan: 0,
    isIpv4: version === 4,
    protocol,
  };
}
/** Compared as text: faster, and as easy to read. */
const text = (frame: Uint8Array | undefined): string => Buffer.from(frame ?? []).toString('hex');

const datagrams = (protocols: readonly number[], most: number) =>
  fc.record({
    version: fc.constantFrom(4 as const, 6 as const),
    protocol: fc.constantFrom(...protocols),
    id: fc.nat(0xffff),
    sequence: fc.nat(0xffff_ffff),
    flags: fc.nat(0xff),
    payload: fc.uint8Array({ maxLength: most }),
  });
const ALL = { ipChecksum: true, transportChecksum: true, segment: false, tag: false };

describe('against plain code', () => {
  test('checksums of any datagram', () => {
    fc.assert(
      fc.property(datagrams([TCP, UDP, SCTP], 300), (datagram) => {
        const length = HEADER[datagram.protocol]! + datagram.payload.length;
        const frame = given(datagram, length);
        const before = text(frame);
        const out = offloaded(frame, { ...ALL, context: contextOf(datagram) });
        expect(out.map(text)).toEqual([text(wanted(datagram))]);
        expect(text(frame)).toBe(before);
      }),
    );
  });
  test('segments of any datagram', () => {
    const inputs = [datagrams([TCP, UDP], 900), fc.integer({ min: 1, max: 400 })] as const;
    fc.assert(
      fc.property(...inputs, (datagram, mss) => {
        const context = contextOf(datagram, mss);
        const out = offloaded(given(datagram, 0), { ...ALL, segment: true, context });
        const { payload, id, sequence, flags } = datagram;
        const count = Math.max(1, Math.ceil(payload.length / mss));
        const expected = Array.from({ length: count }, (_, n) =>
          wanted({
            ...datagram,
            payload: payload.subarray(n * mss, (n + 1) * mss),
            id: (id + n) & 0xffff,
            sequence: (sequence + n * mss) >>> 0,
            flags: n === count - 1 ? flags : flags & ~9,
          }),
        );
        expect(out.map(text)).toEqual(expected.map(text));
      }),
    );
  });
  test('a tag lies behind the addresses, of every segment', () => {
    fc.assert(
      fc.property(datagrams([UDP], 100), fc.nat(0xffff), (datagram, vlan) => {
        const context = { ...contextOf(datagram, 40), vlan };
        const plain = offloaded(given(datagram, 0), { ...ALL, segment: true, context });
        const out = offloaded(given(datagram, 0), { ...ALL, segment: true, tag: true, context });
        const tag = text(Uint8Array.of(0x81, 0, hi(vlan), lo(vlan)));
        expect(out.map(text)).toEqual(
          plain.map((frame) => text(frame.subarray(0, 12)) + tag + text(frame.subarray(12))),
        );
      }),
    );
  });
});

describe('descriptors that lie', () => {
  const context = fc.record({
    macLength: fc.nat(127),
    ipLength: fc.nat(511),
    transportLength: fc.nat(255),
    mss: fc.nat(0xffff),
    vlan: fc.nat(0xffff),
    isIpv4: fc.boolean(),
    protocol: fc.constantFrom(0, TCP, UDP, SCTP),
  });
  test('any lengths over any bytes make a bounded number of frames, no longer than they may be', () => {
    const flags = fc.record({
      ipChecksum: fc.boolean(),
      transportChecksum: fc.boolean(),
      segment: fc.boolean(),
      tag: fc.boolean(),
    });
    fc.assert(
      fc.property(context, flags, fc.uint8Array({ maxLength: 700 }), (one, asked, frame) => {
        const out = offloaded(frame, { ...asked, context: one });
        expect(out.length).toBeLessThanOrEqual(MOST_SEGMENTS);
        for (const made of out) expect(made.length).toBeLessThanOrEqual(frame.length + 4);
        if (!asked.segment) expect(out.length).toBe(1);
      }),
    );
  });
  test.for<[string, Partial<TxContext>]>([
    ['no MSS', { mss: 0 }],
    ['headers longer than the frame', { transportLength: 200 }],
    ['no IP header', { ipLength: 0 }],
    ['more segments than there can be', { mss: 1 }],
  ])('%s: there is nothing to send', ([, lie]) => {
    const datagram: Datagram = {
      ...{ version: 4, protocol: TCP, id: 0, sequence: 0, flags: 0x10 },
      payload: new Uint8Array(lie.mss === 1 ? MOST_SEGMENTS + 1 : 100),
    };
    const one = { ...contextOf(datagram, 40), ...lie };
    expect(offloaded(given(datagram, 0), { ...ALL, segment: true, context: one })).toEqual([]);
  });
  test('without a context it is still one frame, of that length', () => {
    const frame = Uint8Array.from({ length: 60 }, (_, n) => n);
    expect(offloaded(frame, { ...ALL, context: NO_CONTEXT }).map((one) => one.length)).toEqual([
      60,
    ]);
  });
});
