/** The host's ends of wires: what opens, what is said, and frames both ways with whoever is at the other end. */
import { closeSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync } from 'node:fs';
import { rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { WireBacking } from '../../machine/hardware/wires.ts';
import type { WireDescription } from '../../machine/description/wires.ts';
import { closeWireEnds, openWireEnds, type WireEnd } from '../launch/wire-ends.ts';
import * as libc from '../sys/libc.ts';
import { bind, connect, socketAddress, unixSocket, type SocketKind } from '../sys/unix-socket.ts';
import { LONGEST_FRAME } from './frames.ts';
import { HostWires } from './host-wires.ts';

const folder = mkdtempSync(join(tmpdir(), 'host-wires-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
let names = 0;
const newName = (): string => join(folder, `${++names}`);

function opened(wire: WireDescription): readonly WireEnd[] {
  const result = openWireEnds({ lan: wire });
  if ('problems' in result) throw new Error(result.problems[0]!.message);
  return result.ends;
}
function problem(wire: WireDescription, of?: string): string {
  const result = openWireEnds({ lan: wire }, () => of ?? '.');
  if ('problems' in result) {
    return result.problems.map(({ path, message }) => `${path.join('.')}: ${message}`).join();
  }
  closeWireEnds(result.ends);
  return 'nothing is wrong';
}

/** An end in use, and all that is heard of it. */
class Rig {
  readonly said: string[] = [];
  readonly heard: (Uint8Array | boolean)[] = [];
  readonly #ends: readonly WireEnd[];
  readonly #wires: HostWires;
  readonly wire: WireBacking;

  constructor(wire: WireDescription) {
    this.#ends = opened(wire);
    this.#wires = new HostWires(this.#ends, (text) => this.said.push(text));
    this.wire = this.#wires.wires.get('lan')!;
    this.wire.listen({
      receive: (frames) => void this.heard.push(...frames),
      carrier: (alive) => void this.heard.push(alive),
    });
    rigs.push(this);
  }
  /** All that is ready, and what came of it. */
  serve(): (Uint8Array | boolean)[] {
    const poller = new libc.Poller();
    poller.set([this.#wires.fd]);
    while (poller.wait(0) > 0) this.#wires.serve();
    return this.heard.splice(0);
  }
  close(): void {
    this.#wires.close();
    closeWireEnds(this.#ends);
  }
}
const rigs: Rig[] = [];
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close();
});

/** Somebody at the other end, by hand. */
function peerOf(file: string, kind: SocketKind = 'stream'): number {
  const fd = unixSocket(kind);
  expect(connect(fd, socketAddress(file)!)).toBe(0);
  return fd;
}
const frame = (length: number, byte = length): Uint8Array => new Uint8Array(length).fill(byte);
const inStream = (bytes: Uint8Array): Buffer => {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(bytes.length);
  return Buffer.concat([prefix, bytes]);
};

describe('an end is refused', () => {
  test('that nobody listens at, or that is no socket of that kind', () => {
    const file = newName();
    expect(problem({ connect: file })).toBe(
      `wires.lan.connect: ${shown(file)} cannot be connected to: there is no such file`,
    );
    writeFileSync(file, '');
    expect(problem({ connect: file })).toContain('nobody listens there');
    const rig = new Rig({ listen: newName(), form: 'packets' });
    expect(rig.wire.carrier).toBe(false);
    expect(problem({ connect: join(folder, `${names}`) })).toContain('a socket of another kind');
  });
  test('whose name is taken, by a file or by another end that is used', () => {
    const file = newName();
    writeFileSync(file, 'text');
    expect(problem({ listen: file })).toContain('cannot be made: a file of that name is there');
    const used = newName();
    const rig = new Rig({ datagram: used, to: newName() });
    expect(rig.wire.carrier).toBe(true);
    expect(problem({ datagram: used, to: 'x' })).toContain('a file of that name is there');
    expect(problem({ listen: used })).toContain('a file of that name is there');
    expect(statSync(file).size).toBe(4);
  });
  test('whose name is none', () => {
    const long = 'x'.repeat(108);
    expect(problem({ listen: long })).toContain('is too long for the name of a socket');
    expect(problem({ datagram: 'x', to: long })).toMatch(/^wires.lan.to: .* is too long/);
    expect(existsSync('x')).toBe(false);
    expect(problem({ listen: 'x' }, join(folder, 'nowhere'))).toContain('no such directory');
  });
  test('that is no interface of the host, or none of the kind tap', () => {
    expect(problem({ tap: 'nosuchtap0' })).toBe(
      'wires.lan.tap: nosuchtap0 is no network interface of this host (as root: ip tuntap add nosuchtap0 mode tap user NAME)',
    );
    // Of users none may ask; a host without the device has nobody to ask.
    expect(problem({ tap: 'lo' })).toMatch(/^wires.lan.tap: lo cannot be used: /);
  });
});
const shown = (file: string): string => (file.length > 40 ? `${file.slice(0, 40)}…` : file);

test('a socket that a killed run left is replaced', () => {
  const file = newName();
  const left = unixSocket('stream');
  expect(bind(left, socketAddress(file)!)).toBe(0);
  closeSync(left);
  expect(problem({ listen: file })).toBe('nothing is wrong');
  expect(existsSync(file)).toBe(false);
});

describe('a stream', () => {
  test('comes in any pieces, and goes with a length before each frame', () => {
    const file = newName();
    const rig = new Rig({ listen: file });
    const peer = peerOf(file);
    expect(rig.serve()).toEqual([true]);
    const bytes = Buffer.concat([60, 1514, 1].map((length) => inStream(frame(length))));
    const got: unknown[] = [];
    for (const byte of bytes) {
      libc.write(peer, Uint8Array.of(byte));
      got.push(...rig.serve());
    }
    expect(got).toEqual([frame(60), frame(1514), frame(1)]);
    rig.wire.send([frame(60), frame(61)]);
    const into = Buffer.alloc(1000);
    expect(libc.read(peer, into)).toBe(129);
    expect(into.subarray(0, 129)).toEqual(
      Buffer.concat([inStream(frame(60)), inStream(frame(61))]),
    );
    libc.close(peer);
  });
});
describe('a stream', () => {
  test('that is full loses whole frames, and says at the end how many; the peer sees no piece of one', () => {
    const file = newName();
    const rig = new Rig({ listen: file });
    const peer = peerOf(file);
    rig.serve();
    for (let n = 0; n < 1000; n++) rig.wire.send([frame(1500, 1), frame(1501, 2)]);
    const into = Buffer.alloc(1 << 20);
    let bytes = Buffer.alloc(0);
    for (;;) {
      const length = libc.read(peer, into);
      if (length <= 0) break;
      bytes = Buffer.concat([bytes, into.subarray(0, length)]);
      rig.serve();
    }
    let got = 0;
    for (let at = 0; at < bytes.length; got++) {
      const length = bytes.readUInt32BE(at);
      expect(bytes.subarray(at + 4, at + 4 + length)).toEqual(
        Buffer.alloc(length, length === 1500 ? 1 : 2),
      );
      at += 4 + length;
    }
    expect(got).toBeGreaterThan(10);
    // There is room again.
    rig.wire.send([frame(70)]);
    expect(libc.read(peer, into)).toBe(74);
    libc.close(peer);
    rigs.splice(0);
    rig.close();
    expect(rig.said).toEqual([
      `wire lan: the other end did not take ${2000 - got} frames: they were lost`,
    ]);
  });
  test('that has no frames ends, with the reason', () => {
    const file = newName();
    const rig = new Rig({ listen: file });
    for (const length of [0, LONGEST_FRAME + 1]) {
      const peer = peerOf(file);
      const prefix = Buffer.alloc(4);
      prefix.writeUInt32BE(length);
      libc.write(peer, Buffer.concat([inStream(frame(60)), prefix]));
      expect(rig.serve()).toEqual([true, frame(60), false]);
      expect(rig.said.pop()).toBe(
        `wire lan: the other end is given up, for it sends a frame of ${length} bytes`,
      );
      expect(rig.said).toEqual([]);
      libc.close(peer);
    }
  });
});

describe.each(['stream', 'packets'] as const)('a connection of %s', (form) => {
  test('ends: the link is down, a line says so once, and the next one is taken', () => {
    const file = newName();
    const rig = new Rig({ listen: file, form });
    expect(rig.wire.carrier).toBe(false);
    rig.wire.send([frame(60)]);
    const [first, second] = [peerOf(file, form), peerOf(file, form)];
    expect(rig.serve()).toEqual([true]);
    libc.close(first);
    expect(rig.serve()).toEqual([false, true]);
    expect(rig.wire.carrier).toBe(true);
    expect(rig.said).toEqual(['wire lan: the other end has gone: the link is down']);
    libc.close(second);
    expect(rig.serve()).toEqual([false]);
    expect(rig.said).toHaveLength(2);
    expect(rig.wire.carrier).toBe(false);
  });
  test('joins two machines', () => {
    const file = newName();
    const [one, other] = [new Rig({ listen: file, form }), new Rig({ connect: file, form })];
    expect(other.wire.carrier).toBe(true);
    expect(one.serve()).toEqual([true]);
    one.wire.send([frame(60), frame(9000)]);
    other.wire.send([frame(14), frame(LONGEST_FRAME)]);
    expect(other.serve()).toEqual([frame(60), frame(9000)]);
    expect(one.serve()).toEqual([frame(14), frame(LONGEST_FRAME)]);
    one.close();
    rigs.shift();
    expect(other.serve()).toEqual([false]);
    expect(other.said).toEqual(['wire lan: the other end has gone: the link is down']);
  });
});

test('a packet that is too long is counted, and those after it come', () => {
  const file = newName();
  const lost: number[] = [];
  const ends = opened({ listen: file, form: 'packets' });
  const wires = new HostWires(ends, () => undefined);
  wires.wires.get('lan')!.listen({
    receive: (frames, count) => void lost.push(frames.length, count),
    carrier: () => undefined,
  });
  const peer = peerOf(file, 'packets');
  wires.serve();
  libc.write(peer, frame(LONGEST_FRAME + 1));
  libc.write(peer, frame(60));
  wires.serve();
  expect(lost).toEqual([1, 1]);
  libc.close(peer);
  wires.close();
  closeWireEnds(ends);
});

test('datagrams go wherever somebody is, and are lost while nobody is', () => {
  const [mine, theirs] = [newName(), newName()];
  const rig = new Rig({ datagram: mine, to: theirs });
  rig.wire.send([frame(60)]);
  const peer = unixSocket('datagram');
  bind(peer, socketAddress(theirs)!);
  rig.wire.send([frame(61), frame(62)]);
  const into = Buffer.alloc(100);
  expect([libc.read(peer, into), libc.read(peer, into)]).toEqual([61, 62]);
  connect(peer, socketAddress(mine)!);
  libc.write(peer, frame(63));
  expect(rig.serve()).toEqual([frame(63)]);
  libc.close(peer);
  rig.wire.send([frame(64)]);
  expect(rig.serve()).toEqual([]);
  expect(rig.said).toEqual([]);
  rigs.shift();
  rig.close();
  expect(rig.said).toEqual(['wire lan: the other end did not take 2 frames: they were lost']);
});

describe('at the end the socket is removed, and nothing that was put in its place', () => {
  test.for<[string, (home: string) => void, readonly string[]]>([
    ['nothing was', () => undefined, []],
    ['a file', (home) => writeFileSync(join(home, 'lan'), ''), ['lan']],
    ['a directory', (home) => mkdirSync(join(home, 'lan')), ['lan']],
    ['a link', (home) => symlinkSync('elsewhere', join(home, 'lan')), ['lan']],
  ])('%s', ([, put, left]) => {
    const home = newName();
    mkdirSync(home);
    const ends = opened({ listen: join(home, 'lan') });
    if (left.length > 0) rmSync(join(home, 'lan'));
    put(home);
    closeWireEnds(ends);
    expect(readdirSync(home)).toEqual(left);
  });
  test('a link in the place of its directory', () => {
    const [home, other] = [newName(), newName()];
    for (const directory of [home, other]) mkdirSync(directory);
    writeFileSync(join(other, 'lan'), '');
    const ends = opened({ listen: join(home, 'lan') });
    renameSync(home, newName());
    symlinkSync(other, home);
    closeWireEnds(ends);
    expect(readdirSync(other)).toEqual(['lan']);
  });
});
