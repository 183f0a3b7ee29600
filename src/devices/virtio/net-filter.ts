/**
 * Which frames a network device takes, and the commands of the control queue that decide it (virtio 1.2, 5.1.6.5;
 * devices.md 5.5).
 */

/** Values of the ack byte. */
export const VIRTIO_NET_OK = 0;
export const VIRTIO_NET_ERR = 1;

/** class << 8 | command, as the first two bytes of a command have them. */
const RX_PROMISC = 0x0000;
const RX_ALLMULTI = 0x0001;
const MAC_TABLE_SET = 0x0100;
const MAC_ADDR_SET = 0x0101;
const MQ_VQ_PAIRS_SET = 0x0400;

const MAC_BYTES = 6;
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
/** Addresses of one table; with more, all frames of its kind are taken. */
const MOST_ADDRESSES = 64;

/** What software has chosen: plain values. */
export interface NetMode {
  readonly promiscuous: boolean;
  readonly allMulticast: boolean;
  readonly mac: string;
  /** Addresses taken besides it; undefined: too many to tell apart. */
  readonly unicast: readonly string[] | undefined;
  readonly multicast: readonly string[] | undefined;
  /** Pairs of queues in use. */
  readonly pairs: number;
}

/** At power-on every frame is taken, by the first queue. */
export function powerOnMode(mac: Uint8Array): NetMode {
  return {
    promiscuous: true,
    allMulticast: false,
    mac: macText(mac),
    unicast: [],
    multicast: [],
    pairs: 1,
  };
}

/** Is this frame for the device? */
export function takes(mode: NetMode, frame: Uint8Array): boolean {
  if (mode.promiscuous) return true;
  const to = macText(frame);
  if (to === BROADCAST || to === mode.mac) return true;
  const isGroup = (frame[0]! & 1) !== 0;
  const list = isGroup ? mode.multicast : mode.unicast;
  return (isGroup && mode.allMulticast) || list === undefined || list.includes(to);
}

/** What a command makes of the mode; undefined: it is refused. `most`: pairs of queues there are. */
type Command = (mode: NetMode, data: Uint8Array, most: number) => NetMode | undefined;

const COMMANDS: ReadonlyMap<number, Command> = new Map<number, Command>([
  [RX_PROMISC, (mode, [on]) => (on === undefined ? on : { ...mode, promiscuous: on !== 0 })],
  [RX_ALLMULTI, (mode, [on]) => (on === undefined ? on : { ...mode, allMulticast: on !== 0 })],
  [MAC_TABLE_SET, withTables],
  [
    MAC_ADDR_SET,
    (mode, data) => (data.length < MAC_BYTES ? undefined : { ...mode, mac: macText(data) }),
  ],
  [MQ_VQ_PAIRS_SET, (mode, [low = 0, high = 0], most) => withPairs(mode, low | (high << 8), most)],
]);

/** The mode after a command: its class, its number and what follows. Undefined: it is refused. */
export function commanded(mode: NetMode, bytes: Uint8Array, most: number): NetMode | undefined {
  if (bytes.length < 2) return undefined;
  return COMMANDS.get((bytes[0]! << 8) | bytes[1]!)?.(mode, bytes.subarray(2), most);
}

/** 'xx:xx:xx:xx:xx:xx' of the first six bytes. */
export function macText(bytes: Uint8Array): string {
  const parts = Array.from(bytes.subarray(0, MAC_BYTES), (byte) => byte.toString(16));
  return parts.map((part) => part.padStart(2, '0')).join(':');
}

function withPairs(mode: NetMode, pairs: number, most: number): NetMode | undefined {
  return pairs >= 1 && pairs <= most ? { ...mode, pairs } : undefined;
}
/** Two tables, each a count and so many addresses. */
function withTables(mode: NetMode, bytes: Uint8Array): NetMode | undefined {
  const first = table(bytes);
  const second = first && table(bytes.subarray(first.length));
  if (!first || !second) return undefined;
  return { ...mode, unicast: first.addresses, multicast: second.addresses };
}
function table(
  bytes: Uint8Array,
): { readonly length: number; readonly addresses: readonly string[] | undefined } | undefined {
  if (bytes.length < 4) return undefined;
  const count = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const length = 4 + count * MAC_BYTES;
  if (length > bytes.length) return undefined;
  if (count > MOST_ADDRESSES) return { length, addresses: undefined };
  const addresses = Array.from({ length: count }, (_, n) =>
    macText(bytes.subarray(4 + n * MAC_BYTES)),
  );
  return { length, addresses };
}
