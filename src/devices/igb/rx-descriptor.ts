/** What a received frame's descriptor says of it (devices.md 1.6): packet type, hash, tag, checksums. */
import { complement, wordSum } from '../unit/checksums.ts';
import { be16, headersOf, PROTOCOL, type Headers } from './headers.ts';
import type { Hash } from './rss.ts';

const STATUS = {
  DONE: 1 << 0,
  EOP: 1 << 1,
  TAG: 1 << 3,
  UDP_CHECKED: 1 << 4,
  CHECKED: 1 << 5,
  IP_CHECKED: 1 << 6,
  LOOPBACK: 1 << 18,
  BAD_CHECKSUM: 1 << 29,
  BAD_IP_CHECKSUM: 1 << 30,
} as const;
/** Bits of the packet type, as they lie in the first word. */
const TYPE = {
  IPV4: 0x10,
  IPV4_OPTIONS: 0x20,
  IPV6: 0x40,
  IPV6_EXTENSIONS: 0x80,
  TCP: 0x100,
  UDP: 0x200,
  SCTP: 0x400,
} as const;
const TRANSPORT_TYPES: Readonly<Record<number, number>> = {
  6: TYPE.TCP,
  17: TYPE.UDP,
  132: TYPE.SCTP,
};

/** How frames of one delivery are described. */
export interface Describing {
  /** EtherType of tags; tags are taken out. -1: they stay. */
  readonly strip: number;
  /** Of tags that stay. */
  readonly vet: number;
  readonly checksIp: boolean;
  readonly checksTransport: boolean;
  /** It came from another function of this device. */
  readonly isLoopback: boolean;
  readonly hash: (frame: Uint8Array, headers: Headers) => Hash;
}

/** A frame as it goes into buffers, and who writes the descriptor of each. */
export interface Described {
  readonly bytes: Uint8Array;
  /** `length` bytes of it are in this buffer. */
  readonly write: (words: DataView, at: number, length: number, isLast: boolean) => void;
}

/** `frame` may have its checksum behind it. */
export function describe(frame: Uint8Array, how: Describing): Described {
  const type = be16(frame, 12);
  const tag = type === how.vet ? be16(frame, 14) : -1;
  const headers = headersOf(frame, tag < 0 ? 12 : 16);
  const { hash, type: hashType } = how.hash(frame, headers);
  const strips = tag >= 0 && how.strip === type;
  const status =
    STATUS.DONE |
    (strips ? STATUS.TAG : 0) |
    (how.isLoopback ? STATUS.LOOPBACK : 0) |
    checksums(frame, headers, how);
  const first = typeOf(headers) | hashType;
  const bytes = strips ? withoutTag(frame) : frame;
  return {
    bytes,
    write(words, at, length, isLast) {
      words.setUint32(at, first, true);
      words.setUint32(at + 4, hash, true);
      words.setUint32(at + 8, isLast ? status | STATUS.EOP : STATUS.DONE, true);
      words.setUint16(at + 12, length, true);
      words.setUint16(at + 14, strips ? tag : 0, true);
    },
  };
}

function typeOf({ version, extended, protocol }: Headers): number {
  if (version === 0) return 0;
  const [plain, more] =
    version === 4 ? [TYPE.IPV4, TYPE.IPV4_OPTIONS] : [TYPE.IPV6, TYPE.IPV6_EXTENSIONS];
  return (extended ? more : plain) | (TRANSPORT_TYPES[protocol] ?? 0);
}

function checksums(frame: Uint8Array, headers: Headers, how: Describing): number {
  let status = 0;
  if (how.checksIp && headers.version === 4) {
    const length = (frame[headers.ip]! & 0xf) * 4;
    const good = complement(wordSum(frame, headers.ip, headers.ip + length)) === 0;
    status |= STATUS.IP_CHECKED | (good ? 0 : STATUS.BAD_IP_CHECKSUM);
  }
  if (how.checksTransport) status |= transportChecksum(frame, headers);
  return status;
}
function transportChecksum(frame: Uint8Array, headers: Headers): number {
  const { version, ip, protocol, transport, end } = headers;
  if (protocol !== PROTOCOL.TCP && protocol !== PROTOCOL.UDP) return 0;
  const isUdp = protocol === PROTOCOL.UDP;
  if (isUdp && be16(frame, transport + 6) === 0) return 0;
  const [from, length] = version === 4 ? [ip + 12, 8] : [ip + 8, 32];
  const pseudo = wordSum(frame, from, from + length, protocol + end - transport);
  const good = complement(wordSum(frame, transport, end, pseudo)) === 0;
  const checked = STATUS.CHECKED | (isUdp ? STATUS.UDP_CHECKED : 0);
  return checked | (good ? 0 : STATUS.BAD_CHECKSUM);
}

function withoutTag(frame: Uint8Array): Uint8Array {
  const out = new Uint8Array(frame.length - 4);
  out.set(frame.subarray(0, 12));
  out.set(frame.subarray(16), 12);
  return out;
}
