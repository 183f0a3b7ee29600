import { describe, expect, test } from 'vitest';
import { Clock } from '../base/clock.ts';
import type { Wire, WireBacking, WireReceiver } from './host-services.ts';
import { WIRE_QUEUE, Wires } from './wires.ts';

/** Everything one plug hears, as text. */
function heard(wire: Wire): string[] {
  const out: string[] = [];
  wire.listen({
    receive: (frames, lost) =>
      out.push(`frames ${frames.map(([first]) => first).join()}${lost ? ` lost ${lost}` : ''}`),
    carrier: (alive) => out.push(alive ? 'up' : 'down'),
  });
  return out;
}
function frame(first: number): Uint8Array {
  return Uint8Array.of(first, 0, 0);
}
function frames(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, n) => frame(n & 0xff));
}

/** Two plugs with these names, at addresses 'a' and 'b'. */
function pair(first: string, second: string) {
  const clock = new Clock();
  const wires = new Wires(clock);
  const [a, b] = [wires.plug('a', first), wires.plug('b', second)];
  return { clock, wires, a, b, atA: heard(a), atB: heard(b) };
}

describe('one plug', () => {
  test('a sink is alive, and what is sent vanishes', () => {
    const clock = new Clock();
    const wire = new Wires(clock).plug('a', 'sink');
    const out = heard(wire);
    wire.power(true);
    wire.send(frames(2));
    clock.advance(1);
    expect([wire.carrier, out]).toEqual([true, []]);
  });
  test('unplugged is dead', () => {
    const wire = new Wires(new Clock()).plug('a', 'unplugged');
    wire.power(true);
    expect(wire.carrier).toBe(false);
  });
  test('to itself: what is sent comes back in a later turn, together, while it is alive', () => {
    const clock = new Clock();
    const wire = new Wires(clock).plug('a', 'self');
    const out = heard(wire);
    wire.send([frame(9)]);
    wire.power(true);
    wire.send([frame(1), frame(2)]);
    wire.send([frame(3)]);
    expect(out).toEqual([]);
    clock.advance(1);
    expect(out).toEqual(['up', 'frames 1,2,3']);
  });
  test('frames beyond the queue are lost, and counted', () => {
    const clock = new Clock();
    const wire = new Wires(clock).plug('a', 'self');
    const counts: number[] = [];
    wire.listen({
      receive: (got, lost) => counts.push(got.length, lost),
      carrier: () => undefined,
    });
    wire.power(true);
    wire.send(frames(WIRE_QUEUE - 1));
    wire.send(frames(3));
    clock.advance(1);
    expect(counts).toEqual([WIRE_QUEUE, 2]);
  });
});

describe('the state of a plug', () => {
  test('frames on their way are state: they arrive after a restore, and not after a reset', () => {
    const clock = new Clock();
    const wire = new Wires(clock).plug('a', 'self');
    const out = heard(wire);
    wire.power(true);
    clock.advance(1);
    wire.send([frame(5)]);
    const state = wire.state();
    wire.restore();
    clock.advance(1);
    expect(out).toEqual(['up']);
    wire.restore(state);
    clock.advance(1);
    expect(out).toEqual(['up', 'frames 5']);
  });
  test('a reset looks at the carrier, a restore knows what was told: neither is news', () => {
    const clock = new Clock();
    const wire = new Wires(clock).plug('a', 'self');
    const out = heard(wire);
    wire.power(true);
    clock.advance(1);
    const state = wire.state();
    wire.power(false);
    wire.restore();
    clock.advance(1);
    expect(out).toEqual(['up']);
    wire.power(true);
    wire.restore(state);
    clock.advance(1);
    expect(out).toEqual(['up']);
  });
  test('a carrier that is another than at the time of the state is told', () => {
    const clock = new Clock();
    const wire = new Wires(clock).plug('a', 'self');
    const out = heard(wire);
    wire.restore({ frames: [], lost: 0, carrier: true });
    clock.advance(1);
    expect(out).toEqual(['down']);
  });
});

describe('two plugs', () => {
  test.for([
    ['b', 'a'],
    ['b', 'sink'],
    ['sink', 'a'],
  ] as const)('%s and %s are one wire, both ways', ([first, second]) => {
    const { clock, a, b, atA, atB } = pair(first, second);
    expect([a.carrier, b.carrier]).toEqual([false, false]);
    a.power(true);
    b.power(true);
    a.send([frame(1)]);
    b.send([frame(2)]);
    clock.advance(1);
    expect([atA, atB]).toEqual([
      ['up', 'frames 2'],
      ['up', 'frames 1'],
    ]);
    b.power(false);
    a.send([frame(3)]);
    clock.advance(1);
    expect([a.carrier, b.carrier, atA.at(-1), atB.length]).toEqual([false, true, 'down', 2]);
  });
  test('what nobody can receive yet is lost', () => {
    const { clock, a, b, atB } = pair('b', 'a');
    a.power(true);
    a.send([frame(1)]);
    b.power(true);
    clock.advance(1);
    expect(atB).toEqual(['up']);
  });
  test('a device that leaves takes its end away, and the next at its address is joined', () => {
    const { clock, wires, a, b, atA } = pair('b', 'sink');
    a.power(true);
    b.power(true);
    clock.advance(1);
    wires.remove('b');
    clock.advance(1);
    expect([a.carrier, atA]).toEqual([false, ['up', 'down']]);
    const next = wires.plug('b', 'sink');
    const atNext = heard(next);
    next.power(true);
    a.send([frame(7)]);
    clock.advance(1);
    expect([atA, atNext]).toEqual([['up', 'down', 'up'], ['frames 7']]);
  });
  test('who is named by nobody has a sink of its own', () => {
    const { a, b } = pair('sink', 'sink');
    a.power(true);
    expect([a.carrier, b.carrier]).toEqual([true, true]);
  });
});

describe('a wire that leaves the machine', () => {
  function outside() {
    const sent: (number | undefined)[] = [];
    const powered: boolean[] = [];
    let receiver: WireReceiver | undefined;
    const backing: WireBacking & { carrier: boolean } = {
      carrier: true,
      power: (alive) => powered.push(alive),
      send: (all) => sent.push(...all.map(([first]) => first)),
      listen(given) {
        receiver = given;
        return { [Symbol.dispose]: () => (receiver = undefined) };
      },
    };
    const clock = new Clock();
    const wires = new Wires(clock, { wires: new Map([['lan', backing]]) });
    return { backing, clock, wires, sent, powered, receiver: () => receiver };
  }
  test('carries frames both ways and says who is alive', () => {
    const { backing, clock, wires, sent, powered, receiver } = outside();
    const wire = wires.plug('a', 'lan');
    const out = heard(wire);
    wire.power(true);
    wire.send([frame(1), frame(2)]);
    receiver()!.receive([frame(3)], 4);
    expect([sent, powered, out]).toEqual([[1, 2], [true], []]);
    clock.advance(1);
    backing.carrier = false;
    receiver()!.carrier(false);
    clock.advance(1);
    expect(out).toEqual(['frames 3 lost 4', 'down']);
  });
  test('is let go when the device leaves', () => {
    const { wires, powered, receiver } = outside();
    wires.plug('a', 'lan').power(true);
    wires.remove('a');
    expect([powered, receiver()]).toEqual([[true, false], undefined]);
  });
});

test('a device has one plug, and one who listens to it', () => {
  const wires = new Wires(new Clock());
  const wire = wires.plug('a', 'sink');
  expect(() => wires.plug('a', 'sink')).toThrow('has its plug already');
  const listening = wire.listen({ receive: () => undefined, carrier: () => undefined });
  expect(() => heard(wire)).toThrow('listens to this plug already');
  listening[Symbol.dispose]();
  heard(wire);
});
