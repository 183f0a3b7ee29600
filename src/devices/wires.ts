/**
 * The wires of a machine: which plug is joined to which, and the frames between them (devices.md 1.8).
 *
 * A plug belongs to the device at an address, of whatever type. What it is joined to follows from the names alone, anew
 * whenever one comes or goes, so that the order in which devices are made does not matter.
 */
import { Bug } from '../base/bug.ts';
import type { Clock } from '../base/clock.ts';
import { TurnBudget, type TurnMeter } from './unit/turn-budget.ts';
import type { HostBackings, Wire, WireBacking, WireReceiver, WireState } from './host-services.ts';

/** Names that need nobody else. */
export const PLAIN_WIRES: readonly string[] = ['sink', 'self', 'unplugged'];
/** Frames that wait at one end; more are lost. */
export const WIRE_QUEUE = 1024;
/** Bytes of frames that are heard together, unless one has more. */
const TOGETHER = 0x8000;

/** What a plug is joined to. */
type FarEnd = Pick<WireBacking, 'carrier' | 'power' | 'send'>;
const SINK: FarEnd = { carrier: true, power: () => undefined, send: () => undefined };
const NOTHING: FarEnd = { ...SINK, carrier: false };

/** All plugs of one machine. */
export class Wires {
  readonly #clock: Clock;
  readonly #outside: ReadonlyMap<string, WireBacking>;
  readonly #plugs = new Map<string, Plug>();

  constructor(clock: Clock, given: HostBackings = {}) {
    this.#clock = clock;
    this.#outside = given.wires ?? new Map();
  }

  /** The plug of the device at an address; a device has one. `clock`: in whose turns it hears. */
  plug(address: string, name: string, clock = this.#clock): Wire {
    if (this.#plugs.has(address)) throw new Bug(`${address} has its plug already`);
    const plug = new Plug(clock);
    this.#plugs.set(address, plug);
    plug.name = name;
    const backing = this.#outside.get(name);
    if (backing) plug.joinOutside(backing);
    this.#joinAll();
    return plug;
  }
  /** The device has left, if one with a plug was there. */
  remove(address: string): void {
    const plug = this.#plugs.get(address);
    if (!plug) return;
    this.#plugs.delete(address);
    plug.pullOut();
    this.#joinAll();
  }

  #joinAll(): void {
    for (const [address, plug] of this.#plugs) {
      if (!this.#outside.has(plug.name)) plug.join(this.#farEnd(address, plug));
    }
  }
  #farEnd(address: string, plug: Plug): FarEnd {
    if (plug.name === 'self') return plug.asFarEnd;
    const other = this.#plugs.get(plug.name) ?? this.#whoNames(address, plug);
    if (other) return other.asFarEnd;
    return plug.name === 'sink' ? SINK : NOTHING;
  }
  #whoNames(address: string, plug: Plug): Plug | undefined {
    if (plug.name !== 'sink') return undefined;
    return [...this.#plugs.values()].find(({ name }) => name === address);
  }
}

/** One end. What is there to hear is heard in a turn of its own. */
class Plug implements Wire {
  name = '';
  readonly #clock: Clock;
  #farEnd = NOTHING;
  #listening: Disposable | undefined;
  #receiver: WireReceiver | undefined;
  #alive = false;
  /** What the receiver knows. */
  #told = false;
  #frames: Uint8Array[] = [];
  #lost = 0;
  #turn: Disposable | undefined;
  /** As whoever is joined to this one sees it. */
  readonly asFarEnd: FarEnd;

  constructor(clock: Clock) {
    this.#clock = clock;
    const isAlive = (): boolean => this.#alive;
    this.asFarEnd = {
      get carrier() {
        return isAlive();
      },
      power: () => this.#later(),
      send: (frames) => this.#arrive(frames, 0),
    };
  }

  join(farEnd: FarEnd): void {
    if (farEnd === this.#farEnd) return;
    this.#farEnd = farEnd;
    this.#later();
  }
  joinOutside(backing: WireBacking): void {
    this.#listening = backing.listen({
      receive: (frames, lost) => this.#arrive(frames, lost),
      carrier: () => this.#later(),
    });
    this.join(backing);
  }
  pullOut(): void {
    this.power(false);
    this.#listening?.[Symbol.dispose]();
    this.#farEnd = NOTHING;
    this.restore();
  }

  get carrier(): boolean {
    return this.#farEnd.carrier;
  }
  power(alive: boolean): void {
    if (alive === this.#alive) return;
    this.#alive = alive;
    this.#farEnd.power(alive);
  }
  send(frames: readonly Uint8Array[]): void {
    if (this.#alive && this.carrier) this.#farEnd.send(frames);
  }
  listen(receiver: WireReceiver): Disposable {
    if (this.#receiver) throw new Bug('somebody listens to this plug already');
    this.#receiver = receiver;
    this.#told = this.carrier;
    return { [Symbol.dispose]: () => (this.#receiver = undefined) };
  }
  state(): WireState {
    return { frames: [...this.#frames], lost: this.#lost, carrier: this.#told };
  }
  /** Without a state, as at a reset: nothing is on its way, and the device looks at the carrier itself. */
  restore({ frames, lost, carrier }: WireState = this.#nothing()): void {
    this.#frames = [...frames];
    this.#lost = lost;
    this.#told = carrier;
    this.#turn?.[Symbol.dispose]();
    this.#turn = undefined;
    if (frames.length > 0 || lost > 0 || this.#told !== this.carrier) this.#later();
  }

  #nothing(): WireState {
    return { frames: [], lost: 0, carrier: this.carrier };
  }
  #arrive(frames: readonly Uint8Array[], lost: number): void {
    if (!this.#alive) return;
    const room = WIRE_QUEUE - this.#frames.length;
    for (const frame of room < frames.length ? frames.slice(0, room) : frames) {
      this.#frames.push(frame);
    }
    this.#lost += lost + Math.max(0, frames.length - room);
    this.#later();
  }
  #later(): void {
    this.#turn ??= this.#clock.after(0, () => this.#tell());
  }
  #tell(): void {
    const { carrier } = this;
    this.#turn = undefined;
    if (carrier !== this.#told) {
      this.#told = carrier;
      this.#receiver?.carrier(carrier);
    }
    this.#bring();
  }
  /** As many as a turn has work for. */
  #bring(): void {
    const budget = new TurnBudget({ clock: this.#clock, dma: meterOf(this.#receiver) });
    budget.renew();
    // What comes meanwhile is for a later turn.
    let waiting = this.#frames.length;
    while ((waiting > 0 && this.#frames.length > 0) || this.#lost > 0) {
      if (budget.left === 0) {
        this.#later();
        return;
      }
      const [frames, lost] = [this.#takeSome(), this.#lost];
      this.#lost = 0;
      waiting -= frames.length;
      for (const { length } of frames) budget.spend(length);
      this.#receiver?.receive(frames, lost);
    }
  }
  #takeSome(): readonly Uint8Array[] {
    let [count, bytes] = [0, 0];
    while (count < this.#frames.length && bytes < TOGETHER) bytes += this.#frames[count++]!.length;
    const taken = this.#frames;
    this.#frames = taken.slice(count);
    return count < taken.length ? taken.slice(0, count) : taken;
  }
}

/** What a receiver's transfers cost, while there is one. */
function meterOf(receiver: WireReceiver | undefined): TurnMeter['dma'] {
  if (receiver?.work === undefined) return undefined;
  return {
    get work() {
      return receiver.work ?? 0;
    },
  };
}
