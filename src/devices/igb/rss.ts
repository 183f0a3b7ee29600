/** Which queue by the hash of addresses and ports (devices.md 1.6): Toeplitz, with a table for the key. */
import type { Actions, Cells } from './cells.ts';
import { PROTOCOL, type Headers } from './headers.ts';

const MRQC_MODE = 7;
const BY_HASH = 2;
/** With pools: the hash chooses between the two queues of a pool. */
const POOLS_BY_HASH = 5;
/** Fields of MRQC, and the type that a descriptor then says. */
const KINDS = {
  tcp4: { field: 1 << 16, type: 1 },
  ip4: { field: 1 << 17, type: 2 },
  ip6: { field: 1 << 20, type: 5 },
  tcp6: { field: 1 << 21, type: 3 },
  udp4: { field: 1 << 22, type: 7 },
  udp6: { field: 1 << 23, type: 8 },
} as const;
type Kind = keyof typeof KINDS;

/** What was computed of a frame. */
export interface Hash {
  readonly hash: number;
  /** As a descriptor has it; 0: nothing was hashed. */
  readonly type: number;
}
const NO_HASH: Hash = { hash: 0, type: 0 };

/** Most bytes that are hashed: two IPv6 addresses and two ports. */
const MOST_INPUT = 36;

export class Rss {
  readonly #cells: Cells;
  /** For each byte of the input at each place; undefined: the key has changed. */
  #table: Uint32Array | undefined;

  readonly actions: Actions;

  constructor(cells: Cells) {
    this.#cells = cells;
    this.actions = {
      stores: {
        rssrk: (value, index) => {
          cells.set('rssrk', value, index);
          this.forgetKey();
        },
      },
    };
  }
  /** The key is another one. */
  forgetKey(): void {
    this.#table = undefined;
  }

  get isOn(): boolean {
    const mode = this.#cells.get('mrqc') & MRQC_MODE;
    return mode === BY_HASH || mode === POOLS_BY_HASH;
  }
  hash(frame: Uint8Array, headers: Headers): Hash {
    const mrqc = this.#cells.get('mrqc');
    const { version } = headers;
    if (version === 0) return NO_HASH;
    const withPorts = transportKind(headers);
    if (withPorts && (mrqc & KINDS[withPorts].field) !== 0) {
      return this.#hashed(frame, headers, withPorts, true);
    }
    const kind = version === 4 ? 'ip4' : 'ip6';
    return (mrqc & KINDS[kind].field) === 0 ? NO_HASH : this.#hashed(frame, headers, kind, false);
  }
  /** By the lowest bits of the hash. */
  queueOf({ hash, type }: Hash): number {
    if (type === 0) return 0;
    const entry = hash & 0x7f;
    return (this.#cells.get('reta', entry >>> 2) >>> (8 * (entry & 3))) & 0xf;
  }

  #hashed(frame: Uint8Array, headers: Headers, kind: Kind, ports: boolean): Hash {
    const { ip, transport, version } = headers;
    const table = (this.#table ??= tableOf(this.#cells));
    const [from, length] = version === 4 ? [ip + 12, 8] : [ip + 8, 32];
    let hash = 0;
    for (let n = 0; n < length; n++) hash ^= table[n * 256 + frame[from + n]!]!;
    for (let n = 0; ports && n < 4; n++) {
      hash ^= table[(length + n) * 256 + frame[transport + n]!]!;
    }
    return { hash: hash >>> 0, type: KINDS[kind].type };
  }
}

function transportKind({ version, protocol }: Headers): Kind | undefined {
  if (protocol === PROTOCOL.TCP) return version === 4 ? 'tcp4' : 'tcp6';
  if (protocol === PROTOCOL.UDP) return version === 4 ? 'udp4' : 'udp6';
  return undefined;
}

/** A bit of the input that is set adds 32 bits of the key, from its own place on. */
function tableOf(cells: Cells): Uint32Array {
  const key = Uint8Array.from(
    { length: 40 },
    (_, n) => cells.get('rssrk', n >>> 2) >>> (8 * (n & 3)),
  );
  const table = new Uint32Array(MOST_INPUT * 256);
  for (let n = 0; n < MOST_INPUT; n++) {
    for (let byte = 1; byte < 256; byte++) {
      const highest = 31 - Math.clz32(byte);
      const without = byte & ~(1 << highest);
      table[n * 256 + byte] = table[n * 256 + without]! ^ keyFrom(key, 8 * n + 7 - highest);
    }
  }
  return table;
}
function keyFrom(key: Uint8Array, bit: number): number {
  const [at, shift] = [bit >>> 3, bit & 7];
  const word = (key[at]! << 24) | (key[at + 1]! << 16) | (key[at + 2]! << 8) | key[at + 3]!;
  return ((word << shift) | (shift && (key[at + 4] ?? 0) >>> (8 - shift))) >>> 0;
}
