/**
 * The host as the devices of a machine see it: what was given with the machine, its completions brought into turns.
 *
 * A backing may complete at any time, even before its call returns. The device hears of it on its own in either case:
 * by a timer that is due now, so that nothing of it runs inside the call that started the work.
 */
import { Bug } from '../base/bug.ts';
import type { Clock } from '../base/clock.ts';
import type {
  BlockBacking,
  CharBacking,
  Completion,
  HostBackings,
  HostNeed,
  HostServices,
  Wire,
} from './host-services.ts';

/** What a device is given. */
export interface GivenServices {
  readonly given: HostBackings;
  readonly clock: Clock;
  /** The plug of this device. */
  readonly plug: (name: string) => Wire;
}

/** For one device, which has said what it needs; the description was checked for that being there. */
export function hostServices(
  { given, clock, plug }: GivenServices,
  needs: readonly HostNeed[],
): HostServices {
  const later = (done: Completion): Completion => {
    return (rc) => void clock.after(0, () => done(rc));
  };
  const declared = (kind: HostNeed['kind'], name: string): boolean =>
    needs.some((need) => need.kind === kind && need.name === name);
  return {
    block(name) {
      const backing = declared('block', name) ? given.blocks?.get(name) : undefined;
      if (!backing) throw new Bug(`the device did not say that it needs the block device ${name}`);
      return blockInTurns(backing, later);
    },
    chardev(name) {
      const backing = declared('chardev', name) ? given.chardevs?.get(name) : undefined;
      if (!backing) throw new Bug(`the device did not say that it needs the byte stream ${name}`);
      return charInTurns(backing, later, clock);
    },
    wire(name) {
      if (!declared('wire', name)) {
        throw new Bug(`the device did not say that it needs the wire ${name}`);
      }
      return plug(name);
    },
  };
}

function blockInTurns(
  backing: BlockBacking,
  later: (done: Completion) => Completion,
): BlockBacking {
  return {
    length: backing.length,
    isReadOnly: backing.isReadOnly,
    read: (at, into, done) => backing.read(at, into, later(done)),
    write: (at, from, done) => backing.write(at, from, later(done)),
    zero: (at, length, done) => backing.zero(at, length, later(done)),
    flush: (done) => backing.flush(later(done)),
    ...(backing.state && { state: () => backing.state!() }),
    ...(backing.restore && { restore: (state: object) => backing.restore!(state) }),
  };
}

function charInTurns(
  backing: CharBacking,
  later: (done: Completion) => Completion,
  clock: Clock,
): CharBacking {
  return {
    write: (from, done) => backing.write(from, later(done)),
    listen(receive) {
      let listening = true;
      const outside = backing.listen((bytes) => {
        clock.after(0, () => {
          if (listening) receive(bytes);
        });
      });
      return {
        [Symbol.dispose]() {
          listening = false;
          outside[Symbol.dispose]();
        },
      };
    },
  };
}
