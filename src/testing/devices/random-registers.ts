/**
 * Random register programs: whatever a program stores, no exception, bounded work in every access and every turn, and
 * DMA only to addresses near what registers and descriptors name.
 */
import type { SuiteCase } from '../base/suite-case.ts';
import { withDefaults } from '../../base/options.ts';
import type { DeviceType } from '../../devices/port.ts';
import { insist } from '../base/insist.ts';
import { Random } from '../base/random.ts';
import { plugInto, type FakeTransfer } from './fake-port.ts';
import { insistShadowed, type DeviceRig } from './suite-rig.ts';

const MEMORY = 0x1_0000;
const ACTIONS = 40;
const TURNS = 20;
/** In one access or one turn of the clock. */
const MOST_TRANSFERS = 20_000;
const MOST_BYTES = 16 * 2 ** 20;
/** What is named is a page, and rings, tables and buffers lie behind it. */
const BEHIND = 16n * 2n ** 20n;
const PAGE = 4096n;

export function randomProgramCase(type: DeviceType, programs: number, seed: number): SuiteCase {
  return {
    name: `${programs} random register programs end, and touch what they name`,
    run: () => {
      for (let n = 0; n < programs; n++) {
        try {
          runProgram(type, new RegisterRandom(seed * 65_537 + n));
        } catch (error) {
          throw new Error(`program ${n} of seed ${seed}`, { cause: error });
        }
      }
    },
  };
}

function runProgram(type: DeviceType, random: RegisterRandom): void {
  const rig = plugInto(type, {}, { memory: MEMORY });
  const words = new BigUint64Array(rig.port.memory.buffer);
  for (let n = 0; n < words.length; n++) words[n] = random.below(4) === 0 ? random.value() : 0n;
  const watch = new Watch(rig);
  for (let n = 0; n < ACTIONS; n++) watch.during(() => act(type, rig, random, watch));
  for (let n = 0; n < TURNS; n++) {
    watch.during(() => rig.port.clock.advanceOnceTo(rig.port.clock.nowNs + 1_000_000));
  }
  insistShadowed(type, rig);
  const state = structuredClone(rig.device.state());
  watch.during(() => rig.device.reset('flr'));
  insistShadowed(type, rig);
  watch.during(() => rig.device.restore(state));
  insistShadowed(type, rig);
}

/** One thing that a program, or software behind it, does. */
function act(
  type: DeviceType,
  { device, port }: DeviceRig,
  random: RegisterRandom,
  watch: Watch,
): void {
  const [bar, offset] = placeOf(type, random);
  const width = [1, 2, 4, 4, 4, 8][random.below(6)]!;
  const kind = random.below(20);
  if (kind === 0) device.reset('flr');
  else if (kind === 1) port.flip('busMaster', random.below(4) > 0);
  else if (kind === 2) port.flip('messages', random.below(2) > 0);
  else if (kind === 3) port.clock.advanceOnceTo(port.clock.nowNs + random.below(1_000_000));
  else if (kind === 4) port.pages.shift()?.respond([0, 1, 15][random.below(3)]!);
  else if (kind < 8) device.mmioRead(bar, offset, width);
  else if (kind < 10 && device.mmioWrite64) {
    const line = new Uint8Array(64);
    const values = new BigUint64Array(line.buffer);
    for (let n = 0; n < 8; n++) watch.name((values[n] = random.value()));
    device.mmioWrite64(bar, offset & ~63, line);
  } else {
    const value = BigInt.asUintN(8 * width, random.value());
    watch.stored(bar, offset, width, value);
    device.mmioWrite(bar, offset, width, value);
  }
}
/** A register, mostly; else anywhere in a BAR. */
function placeOf(type: DeviceType, random: RegisterRandom): [bar: number, offset: number] {
  const { bars } = type.identity(withDefaults(type.options, {}));
  const spaces = type.registers ?? [];
  if (spaces.length > 0 && random.below(8) > 0) {
    const { bar, table } = spaces[random.below(spaces.length)]!;
    const specs = Object.values(table);
    const { offset, count = 1, stride, width } = specs[random.below(specs.length)]!;
    return [bar, offset + random.below(count) * (stride ?? width)];
  }
  const bar = bars[random.below(bars.length)];
  return bar ? [bar.index, 8 * random.below(Math.min(bar.size, 0x1_0000) / 8)] : [0, 0];
}

/** What the device does, against what it may. */
class Watch {
  readonly #names = new Set<bigint>([0n]);
  readonly #stored = new Map<string, number>();
  #transfers = 0;
  #bytes = 0;

  constructor({ port }: DeviceRig) {
    port.hear = (transfer) => this.#hear(transfer);
  }
  during(run: () => void): void {
    this.#transfers = this.#bytes = 0;
    run();
  }
  name(value: bigint): void {
    this.#names.add(value & ~(PAGE - 1n));
    this.#names.add(value & 0xffff_ffffn & ~(PAGE - 1n));
  }
  /** A register is made of what was stored to its bytes, in whatever pieces. */
  stored(bar: number, offset: number, width: number, value: bigint): void {
    for (let n = 0; n < width; n++) {
      const byte = Number((value >> BigInt(8 * n)) & 0xffn);
      this.#stored.set(`${bar} ${offset + n}`, byte);
    }
    for (let at = (offset & ~3) - 4; at < offset + width; at += 4) {
      let word = 0n;
      for (let n = 7; n >= 0; n--) {
        word = (word << 8n) | BigInt(this.#stored.get(`${bar} ${at + n}`) ?? 0);
      }
      this.name(word);
    }
  }

  #hear({ what, at, length, moved }: FakeTransfer): void {
    this.#transfers++;
    this.#bytes += moved.length;
    insist(this.#transfers <= MOST_TRANSFERS, `more than ${MOST_TRANSFERS} transfers at once`);
    insist(this.#bytes <= MOST_BYTES, `more than ${MOST_BYTES} bytes at once`);
    insist(this.#isNamed(at), `${what} of ${length} bytes at 0x${at.toString(16)}, named nowhere`);
    if (what === 'read') this.#learn(moved);
  }
  #isNamed(at: bigint): boolean {
    if (at < BEHIND) return true;
    for (const name of this.#names) if (at >= name && at - name < BEHIND) return true;
    return false;
  }
  /** Descriptors name addresses; data do too, which does no harm. */
  #learn(bytes: Uint8Array): void {
    if (bytes.length > 2 ** 16) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at + 8 <= bytes.length; at += 4) {
      const value = view.getBigUint64(at, true);
      if (value >= BEHIND) this.name(value);
    }
  }
}

/** Numbers in an order that its seed decides. */
class RegisterRandom extends Random {
  /** Small, a bit, an address in memory, or anything. */
  value(): bigint {
    const kind = this.below(8);
    if (kind < 2) return BigInt(this.below(4));
    if (kind === 2) return 1n << BigInt(this.below(32));
    if (kind < 6) return BigInt(this.below(MEMORY / 64) * 64);
    const low = BigInt(this.below(2 ** 32));
    return kind === 6 ? low : low | (BigInt(this.below(2 ** 32)) << 32n);
  }
}
