/** What descriptors of received frames say, and which queue they are in (devices.md 1.6). */
import { describe, expect, test } from 'vitest';
import { AT, igbRig, plainFrame, REG, RING } from '../../testing/devices/igb-rig.ts';

/** RCTL: EN, UPE, MPE, BAM, SECRC and MAC loopback. */
const LOOP = 0x0400_805a;

/** The examples for verifying RSS that Microsoft published: their key, and 161.142.100.80:1766 to 65.69.140.83:4739. */
const KEY = [
  0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
  0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
  0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];
const FROM = [66, 9, 149, 187];
const TO = [161, 142, 100, 80];
const MAC = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

function ipv4(protocol: number, transport: readonly number[], sum = 0): Uint8Array {
  const total = 20 + transport.length;
  const ip = [0x45, 0, total >>> 8, total & 0xff, 0, 0, 0, 0, 64, protocol, sum >>> 8, sum & 0xff];
  return Uint8Array.from([...MAC, 8, 0, ...ip, ...FROM, ...TO, ...transport]);
}
/** Ports 2794 to 1766. */
const PORTS = [2794 >>> 8, 2794 & 0xff, 1766 >>> 8, 1766 & 0xff];
const TCP = ipv4(6, [...PORTS, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);

describe('hash', () => {
  function hashing(mrqc: number) {
    const rig = igbRig();
    rig.start(LOOP);
    for (let n = 0; n < 10; n++) {
      const word = KEY.slice(4 * n, 4 * n + 4).reduce((sum, byte, k) => sum | (byte << (8 * k)), 0);
      rig.write(REG.rssrk + 4 * n, word);
    }
    rig.write(REG.mrqc, mrqc);
    return rig;
  }
  test.for([
    ['addresses and ports of TCP', 0x1_0002, TCP, 1, 0x51cc_c178],
    ['addresses alone', 0x2_0002, TCP, 2, 0x323e_8fc2],
    ['nothing that is asked for', 0x40_0002, TCP, 0, 0],
    ['no IP', 0x37_0002, plainFrame(80), 0, 0],
  ] as const)('%s', ([, mrqc, frame, type, hash]) => {
    const { send, received } = hashing(mrqc);
    send(frame);
    const [one] = received();
    expect([one!.first & 0xf, one!.hash]).toEqual([type, hash]);
  });
  test('the lowest seven bits choose the queue, and the queue its vector', () => {
    const { view, write, port, read, send, received } = hashing(0x1_0002);
    const entry = 0x51cc_c178 & 0x7f;
    write(REG.reta + (entry & ~3), 5 << (8 * (entry & 3)));
    write(REG.rdbal + 5 * 0x40, 0x3000);
    write(REG.rdlen + 5 * 0x40, RING * 16);
    write(REG.srrctl + 5 * 0x40, 0x0200_0000);
    write(REG.rxdctl + 5 * 0x40, 0x0200_0000);
    view.setBigUint64(0x3000, BigInt(AT.rx + 0x2_0000), true);
    write(REG.rdt + 5 * 0x40, 1);
    write(REG.gpie, 0x10);
    write(REG.ivar + 4 * 5, 0x86);
    write(REG.eims, 1 << 6);
    send(TCP);
    expect(received()).toEqual([]);
    expect(view.getUint32(0x3008, true) & 3).toBe(3);
    expect([read(REG.rdh + 5 * 0x40), port.messages]).toEqual([1, [6]]);
  });
});

describe('checksums', () => {
  const [IP, TRANSPORT, UDP, BAD, BAD_IP] = [0x40, 0x20, 0x10, 1 << 29, 1 << 30];
  /** Sums by hand: of the header, and of pseudo header and datagram. */
  const udp = (sum: number): number[] => [...PORTS, 0, 8, sum >>> 8, sum & 0xff];
  const words = [0x4500, 28, 0, 0, 0x4011, 0x4209, 0x95bb, 0xa18e, 0x6450];
  const folded = (all: readonly number[]): number => {
    const sum = all.reduce((a, b) => a + b, 0);
    return 0xffff - ((sum & 0xffff) + (sum >>> 16));
  };
  const header = folded(words);
  const good = folded([0x4209, 0x95bb, 0xa18e, 0x6450, 17, 8, 2794, 1766, 8]);
  test.for<[string, Uint8Array, number]>([
    ['good ones', ipv4(17, udp(good), header), IP | TRANSPORT | UDP],
    ['a bad one of IP', ipv4(17, udp(good), header ^ 1), IP | TRANSPORT | UDP | BAD_IP],
    ['a bad one of UDP', ipv4(17, udp(good ^ 1), header), IP | TRANSPORT | UDP | BAD],
    ['UDP without one', ipv4(17, udp(0), header), IP],
    ['another protocol', ipv4(1, [8, 0, 0, 0, 0, 0, 0, 0], header), IP | BAD_IP],
    ['no IP', plainFrame(80), 0],
  ])('%s', ([, frame, status]) => {
    const { start, send, received } = igbRig();
    start(LOOP);
    send(frame);
    expect(received()[0]!.status >>> 0).toBe((status | 3) >>> 0);
  });
  test('none is checked where RXCSUM does not ask, and the packet type is told', () => {
    const { start, write, send, received } = igbRig();
    start(LOOP);
    write(REG.rxcsum, 0);
    send(ipv4(17, udp(good), header), TCP);
    expect(received().map(({ status, first }) => [status, first])).toEqual([
      [3, 0x210],
      [3, 0x110],
    ]);
  });
});

describe('tags', () => {
  const tagged = (vlan: number): Uint8Array => {
    const plain = plainFrame(80);
    return Uint8Array.from([
      ...plain.subarray(0, 12),
      0x81,
      0,
      vlan >>> 8,
      vlan & 0xff,
      ...plain.subarray(12),
    ]);
  };
  test('a tag stays where it is, or is taken out and told', () => {
    const { start, read, write, send, received } = igbRig();
    start(LOOP);
    send(tagged(0x2005));
    write(REG.ctrl, read(REG.ctrl) | (1 << 30));
    send(tagged(0x2005));
    expect(received().map(({ frame, status, vlan }) => [frame.length, status, vlan])).toEqual([
      [84, 3, 0],
      [80, 0xb, 0x2005],
    ]);
  });
  test('with VFE only VLANs of the table are received', () => {
    const { start, write, send, received } = igbRig();
    start(LOOP | (1 << 18));
    write(REG.vfta + 4 * (0x123 >>> 5), 1 << (0x123 & 31));
    send(tagged(0x123), tagged(0x124), plainFrame(80));
    expect(received().map(({ frame }) => frame.length)).toEqual([84, 80]);
  });
});

describe('filters', () => {
  const UNICAST = LOOP & ~0x18;
  const multicast = [1, 0, 0x5e, 1, 2, 3];
  test.for<[string, number, readonly number[], readonly (readonly [number, number])[], number]>([
    ['multicast that nobody wants', UNICAST, multicast, [], 0],
    ['all multicast', UNICAST | 0x10, multicast, [], 1],
    // Bytes 5 and 4 are 0x0302; by four bits to the right that is 0x030: register 1, bit 16.
    ['multicast of the table', UNICAST, multicast, [[0x5204, 1 << 16]], 1],
    ['of another part of the address', UNICAST | (3 << 12), multicast, [[0x5204, 1 << 16]], 0],
    ['unicast of the table', UNICAST, [2, 0, 0, 0, 2, 3], [[0xa004, 1 << 16]], 1],
    [
      'a second station address',
      UNICAST,
      [2, 9, 9, 9, 9, 9],
      [
        [0x5408, 0x0909_0902],
        [0x540c, 0x8000_0909],
      ],
      1,
    ],
    [
      'the last one',
      UNICAST,
      [2, 9, 9, 9, 9, 9],
      [
        [0x5518, 0x0909_0902],
        [0x551c, 0x8000_0909],
      ],
      1,
    ],
    [
      'one that is not valid',
      UNICAST,
      [2, 9, 9, 9, 9, 9],
      [
        [0x5408, 0x0909_0902],
        [0x540c, 0x909],
      ],
      0,
    ],
    ['broadcast that is not wanted', UNICAST & ~0x8000, [255, 255, 255, 255, 255, 255], [], 0],
  ])('%s', ([, rctl, to, stores, count]) => {
    const { start, write, send, received } = igbRig();
    start(rctl);
    for (const [at, value] of stores) write(at, value);
    send(plainFrame(64, to));
    expect(received().length).toBe(count);
  });
  test.for([
    [1514, 0, 1],
    [1515, 0, 0],
    [9724, 0x20, 1],
    [9725, 0x20, 0],
  ] as const)('a frame of %d bytes, RCTL with %d', ([length, lpe, count]) => {
    const { start, read, send, received } = igbRig();
    start(LOOP | lpe);
    send(plainFrame(length));
    expect([received().length, read(REG.roc)]).toEqual([count, 1 - count]);
  });
});
