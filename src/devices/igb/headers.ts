/**
 * The headers of a frame as the receiver of the 82576 looks at them: enough for packet types, hashes and checksums.
 *
 * Lengths that lie end the search: what was found until then stays.
 */

export const ETHERTYPE = { IPV4: 0x0800, IPV6: 0x86dd } as const;
export const PROTOCOL = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/** Where the headers are; -1 where there is none. */
export interface Headers {
  /** 4, 6, or 0 for neither. */
  readonly version: 0 | 4 | 6;
  /** Offset of the IP header. */
  readonly ip: number;
  /** More than the least header: options, or extension headers. */
  readonly extended: boolean;
  /** A piece of a datagram: its transport header is not looked at. */
  readonly fragment: boolean;
  /** Of the transport header; 0 where it is not known or not whole. */
  readonly protocol: number;
  readonly transport: number;
  /** Where the datagram ends by its own word. */
  readonly end: number;
}

const NONE: Headers = {
  version: 0,
  ip: -1,
  extended: false,
  fragment: false,
  protocol: 0,
  transport: -1,
  end: -1,
};
const LEAST: Readonly<Record<number, number>> = { 6: 20, 17: 8, 132: 12 };
const IPV6_HEADER = 40;
const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 60]);
const FRAGMENT = 44;

/** 16 bits, big-endian. */
export function be16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** `typeAt` is the offset of the EtherType: 12, or more behind tags. */
export function headersOf(frame: Uint8Array, typeAt: number): Headers {
  const ip = typeAt + 2;
  if (frame.length < ip) return NONE;
  const type = be16(frame, typeAt);
  if (type === ETHERTYPE.IPV4) return ipv4(frame, ip);
  if (type === ETHERTYPE.IPV6) return ipv6(frame, ip);
  return NONE;
}

function ipv4(frame: Uint8Array, ip: number): Headers {
  if (frame.length < ip + 20 || frame[ip]! >>> 4 !== 4) return NONE;
  const length = (frame[ip]! & 0xf) * 4;
  const end = ip + be16(frame, ip + 2);
  if (length < 20 || end < ip + length || end > frame.length) return NONE;
  const fragment = (be16(frame, ip + 6) & 0x3fff) !== 0;
  const { protocol, transport } = transportOf(frame[ip + 9]!, ip + length, end, fragment);
  return { version: 4, ip, extended: length > 20, fragment, protocol, transport, end };
}

function ipv6(frame: Uint8Array, ip: number): Headers {
  if (frame.length < ip + IPV6_HEADER || frame[ip]! >>> 4 !== 6) return NONE;
  const end = ip + IPV6_HEADER + be16(frame, ip + 4);
  if (end > frame.length) return NONE;
  let next = frame[ip + 6]!;
  let at = ip + IPV6_HEADER;
  while (EXTENSIONS.has(next) && at + 8 <= end) {
    next = frame[at]!;
    at += 8 * (frame[at + 1]! + 1);
  }
  const fragment = next === FRAGMENT;
  const extended = at > ip + IPV6_HEADER || fragment;
  const { protocol, transport } = transportOf(next, at, end, fragment);
  return { version: 6, ip, extended, fragment, protocol, transport, end };
}

const NO_TRANSPORT = { protocol: 0, transport: -1 };

/** One that is known and whole; a piece has none. */
function transportOf(
  protocol: number,
  transport: number,
  end: number,
  fragment: boolean,
): Pick<Headers, 'protocol' | 'transport'> {
  const least = LEAST[protocol];
  const isWhole = !fragment && least !== undefined && transport + least <= end;
  return isWhole ? { protocol, transport } : NO_TRANSPORT;
}
