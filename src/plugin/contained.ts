/**
 * Device models of a plugin, with their exceptions caught where the machine calls them: named with the plugin, the type
 * and the call, and answered as a bus answers where no device is. Loads give ones, stores do nothing, what was started
 * does not go on; the machine does.
 */
import { Clock } from '../base/clock.ts';
import type { BlockBacking, Completion, HostServices } from '../devices/host-services.ts';
import type {
  DeviceModel,
  DevicePort,
  PciIdentity,
  DeviceState,
  DeviceType,
} from '../devices/port.ts';

/** What a plugin threw where there is no bus to answer: the machine cannot be made. */
export class PluginError extends Error {
  override name = 'PluginError';
}

/** Told of the first exception of each call. */
export type Tell = (message: string) => void;

/** The type, whose devices throw nothing. `plugin`: how people call it. */
export function containedType(type: DeviceType, plugin: string, tell: Tell): DeviceType {
  const catching = catchingOf(`plugin ${plugin}: ${type.type}`, tell);
  return {
    ...type,
    ...describing(type, plugin),
    create: (port, options) =>
      catching(
        'create',
        () => containedModel(type.create(containedPort(port, catching), options), catching),
        ABSENT,
      ),
  };
}

/** What it says of itself before there is a device; what it throws then, or gives instead, is a PluginError. */
function describing(type: DeviceType, plugin: string): Partial<DeviceType> {
  const named = <T>(call: string, run: () => T): T =>
    orPluginError(`plugin ${plugin}: ${type.type}.${call}`, run);
  return {
    identity: (options) => named('identity', () => checkedIdentity(type.identity(options))),
    ...(type.needs && { needs: (options) => named('needs', () => type.needs?.(options) ?? []) }),
    ...(type.virtualIdentity && {
      virtualIdentity: (options) =>
        named('virtualIdentity', () => type.virtualIdentity?.(options) ?? {}),
    }),
  };
}
/** Throws PluginError, with this in front, for whatever `run` throws. */
export function orPluginError<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new PluginError(`${what}: ${reason(error)}`);
  }
}
const NUMBERS = ['vendor', 'device', 'revision', 'classCode', 'interruptPin'] as const;
/** Plain JavaScript may give anything. */
function checkedIdentity(identity: PciIdentity): PciIdentity {
  const given: unknown = identity;
  if (typeof given !== 'object' || given === null) throw new TypeError('gives no identity');
  const wrong = NUMBERS.find((key) => typeof identity[key] !== 'number');
  if (wrong !== undefined) throw new TypeError(`${wrong} must be a number`);
  if (!Array.isArray(identity.bars)) throw new TypeError('bars must be a list');
  return identity;
}

/** Runs a call; what it throws is told, and the answer is the given one. */
export type Catching = <T>(call: string, run: () => T, instead: T) => T;
/** For the calls of one type, `who` in front of each message. */
export function catchingOf(who: string, tell: Tell): Catching {
  const told = new Set<string>();
  return (call, run, instead) => {
    try {
      return run();
    } catch (error) {
      if (!told.has(call)) tell(`${who}.${call}: ${reason(error)}`);
      told.add(call);
      return instead;
    }
  };
}

/** The message, and where it was thrown. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return textOf(error);
  const [, at] = /\n\s+(at .*)/.exec(error.stack ?? '') ?? [];
  return at === undefined ? error.message : `${error.message} (${at.trim()})`;
}

/** Anything may be thrown, also what cannot be made a text. */
export function textOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? thrown.message : String(thrown);
  } catch {
    return 'something that is no text';
  }
}

function ones(width: number): bigint {
  return (1n << BigInt(8 * width)) - 1n;
}
function loaded(value: unknown): bigint {
  if (typeof value !== 'bigint') throw new TypeError(`gives ${typeof value} and no bigint`);
  return value;
}
/** In place of a device that could not be made. */
const ABSENT: DeviceModel = {
  powerOn: () => undefined,
  reset: () => undefined,
  mmioRead: (_bar, _offset, width) => ones(width),
  mmioWrite: () => undefined,
  state: () => ({}),
  restore: () => undefined,
};

function containedModel(model: DeviceModel, catching: Catching): DeviceModel {
  const run = (call: string, work: () => void): void => catching(call, work, undefined);
  return {
    powerOn: () => run('powerOn', () => model.powerOn()),
    reset: (kind) => run('reset', () => model.reset(kind)),
    mmioRead: (bar, offset, width) =>
      catching('mmioRead', () => loaded(model.mmioRead(bar, offset, width)), ones(width)),
    mmioWrite: (bar, offset, width, value) =>
      run('mmioWrite', () => model.mmioWrite(bar, offset, width, value)),
    state: () => catching<DeviceState>('state', () => model.state(), {}),
    restore: (state) => run('restore', () => model.restore(state)),
    close: () => run('close', () => model.close?.()),
    registerName: (bar, offset) =>
      catching('registerName', () => model.registerName?.(bar, offset), undefined),
    ...(model.mmioWrite64 && {
      mmioWrite64: (bar, offset, bytes) =>
        run('mmioWrite64', () => model.mmioWrite64?.(bar, offset, bytes)),
    }),
    ...(model.virtualFunction && {
      virtualFunction: (index, port) =>
        catching(
          'virtualFunction',
          () => {
            const own = model.virtualFunction?.(index, containedPort(port, catching));
            return own ? containedModel(own, catching) : ABSENT;
          },
          ABSENT,
        ),
    }),
  };
}

/** The same port; what the model is called back with is caught as well. */
function containedPort(port: DevicePort, catching: Catching): DevicePort {
  const { ats, config } = port;
  const run = (call: string, work: () => void): void => catching(call, work, undefined);
  return {
    dma: port.dma,
    irq: port.irq,
    clock: new ContainedClock(port.clock, run),
    ats: ats && {
      get enabled() {
        return ats.enabled;
      },
      get pagesEnabled() {
        return ats.pagesEnabled;
      },
      translate: (at, options) => ats.translate(at, options),
      requestPage: (request, respond) =>
        ats.requestPage(request, (code) => run('an answer to a page request', () => respond(code))),
    },
    config: {
      name: config.name,
      is: (what) => config.is(what),
      set: (offset, value) => config.set(offset, value),
      watch: (what, hear) => config.watch(what, (on) => run('config.watch', () => hear(on))),
      get virtualFunctions() {
        return config.virtualFunctions;
      },
    },
    host: containedHost(port.host, run),
    barMemory: (bar) => port.barMemory(bar),
  };
}

type Run = (call: string, work: () => void) => void;

/** The machine's clock, as one device uses it. */
class ContainedClock extends Clock {
  readonly #clock: Clock;
  readonly #run: Run;

  constructor(clock: Clock, run: Run) {
    super();
    this.#clock = clock;
    this.#run = run;
  }
  override get nowNs(): number {
    return this.#clock.nowNs;
  }
  override after(delayNs: number, work: () => void): Disposable {
    return this.#clock.after(delayNs, () => this.#run('a timer', work));
  }
  override get nextDeadlineNs(): number | undefined {
    return this.#clock.nextDeadlineNs;
  }
}

function containedHost(host: HostServices, run: Run): HostServices {
  const caught = (done: Completion): Completion => {
    return (rc) => run('the end of work at a block device', () => done(rc));
  };
  return {
    block: (name) => containedBlock(host.block(name), caught),
    chardev(name) {
      const inner = host.chardev(name);
      return {
        write: (from, done) => inner.write(from, caught(done)),
        listen: (receive) => inner.listen((bytes) => run('a byte stream', () => receive(bytes))),
      };
    },
    wire(name) {
      const inner = host.wire(name);
      return {
        get carrier() {
          return inner.carrier;
        },
        power: (alive) => inner.power(alive),
        send: (frames) => inner.send(frames),
        listen: (receiver) =>
          inner.listen({
            receive: (frames, lost) => run('a wire', () => receiver.receive(frames, lost)),
            carrier: (alive) => run('a wire', () => receiver.carrier(alive)),
          }),
        state: () => inner.state(),
        restore: (state) => inner.restore(state),
      };
    },
  };
}
function containedBlock(
  inner: BlockBacking,
  caught: (done: Completion) => Completion,
): BlockBacking {
  return {
    length: inner.length,
    isReadOnly: inner.isReadOnly,
    read: (at, into, done) => inner.read(at, into, caught(done)),
    write: (at, from, done) => inner.write(at, from, caught(done)),
    zero: (at, length, done) => inner.zero(at, length, caught(done)),
    flush: (done) => inner.flush(caught(done)),
    ...(inner.state && { state: () => inner.state?.() ?? {} }),
    ...(inner.restore && { restore: (state: object) => inner.restore?.(state) }),
  };
}
