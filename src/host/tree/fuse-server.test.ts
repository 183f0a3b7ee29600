/** Requests over a socket pair in place of /dev/fuse. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { spawnSync } from 'node:child_process';
import { EINVAL } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { WaitQueue } from '../../base/wait-queue.ts';
import type { AttrNode, DirNode } from '../../machine/files/nodes.ts';
import { dir, link } from '../../machine/files/tree.ts';
import { Vfs } from '../../machine/files/vfs.ts';
import { FUSE } from './fuse-protocol.ts';
import { FuseServer, type AttrAccess } from './fuse-server.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO, O_RDWR, O_WRONLY } from '../sys/numbers.ts';

const ROOT = 1;
const REFUSED = -HOST_ERRNO.EACCES;

/** Whose the nodes are, and who asks when nothing else is said. */
const ME = { uid: 7, gid: 7 };

let ours: number;
let server: FuseServer;
/** What a request may reach. */
let access: AttrAccess | undefined;
let text: string;
let free: boolean;
const wait = new WaitQueue();
const woken: (() => void)[] = [];

const value: AttrNode = {
  kind: 'attr',
  mode: 0o644,
  size: 4096,
  read: () => Buffer.from(text),
  write: (_task, data) => {
    const said = Buffer.from(data).toString();
    if (said === 'wait' && !free) return wait;
    if (said === 'bad') return refuse(EINVAL, 'not a value');
    text = said;
    return data.length;
  },
};
const readOnly: AttrNode = { ...value, mode: 0o444 };
const closed: DirNode = { ...dir(() => ({ value })), mode: 0o700, uid: ME.uid + 1 };
const root: DirNode = dir(() => ({ value, closed, 'read-only': readOnly, link: link('value') }));

const said: string[] = [];
const running: AttrAccess = {
  settle: () => undefined,
  task: () => ({}) as Task,
  cred: () => ({ ...ME, groups: [], capable: () => false }),
  readAttr: (task, _path, node) => node.read(task),
  writeAttr: (task, _path, node, data, offset) => node.write!(task, data, offset),
  later: (attempt) => void woken.push(attempt),
  bug: (_op, error) => {
    throw new Error(error);
  },
  short: (reason) => void said.push(reason),
};

beforeEach(() => {
  const pair = libc.socketpair();
  if (typeof pair === 'number') throw new Error('socketpair');
  [ours] = pair;
  access = running;
  text = 'old\n';
  free = false;
  woken.length = 0;
  server = new FuseServer(pair[1], new Vfs(root, ME));
});
afterEach(() => {
  server.close();
  libc.close(ours);
});

let unique = 0n;
function send(
  op: number,
  node: number,
  args: Uint8Array = new Uint8Array(0),
  tid = process.pid,
): bigint {
  const bytes = Buffer.alloc(40 + args.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(op, 4);
  bytes.writeBigUInt64LE(++unique, 8);
  bytes.writeBigUInt64LE(BigInt(node), 16);
  bytes.writeUInt32LE(ME.uid, 24);
  bytes.writeUInt32LE(ME.gid, 28);
  bytes.writeUInt32LE(tid, 32);
  bytes.set(args, 40);
  libc.write(ours, bytes);
  server.serve(access);
  return unique;
}
/** The next reply; undefined when there is none. */
function reply(): { unique: bigint; error: number; result: Buffer } | undefined {
  const bytes = Buffer.alloc(70000);
  const poller = new libc.Poller();
  poller.set([ours]);
  if (poller.wait(0) <= 0) return undefined;
  const length = libc.read(ours, bytes);
  expect(bytes.readUInt32LE(0)).toBe(length);
  return {
    unique: bytes.readBigUInt64LE(8),
    error: bytes.readInt32LE(4),
    result: bytes.subarray(16, length),
  };
}
function ask(op: number, node: number, args?: Uint8Array): { error: number; result: Buffer } {
  const number = send(op, node, args);
  const answer = reply();
  expect(answer?.unique).toBe(number);
  return answer!;
}
function lookup(name: string): number {
  const { error, result } = ask(FUSE.lookup, ROOT, Buffer.from(`${name}\0`));
  return error === 0 ? Number(result.readBigUInt64LE(0)) : error;
}
function open(node: number, flags: number): number {
  const args = Buffer.alloc(8);
  args.writeUInt32LE(flags, 0);
  return ask(FUSE.open, node, args).error;
}
function writeArgs(data: string): Buffer {
  const args = Buffer.alloc(40 + data.length);
  args.writeUInt32LE(data.length, 16);
  args.write(data, 40);
  return args;
}

describe('the tree by FUSE', () => {
  test('names lead to nodes, and a name that is not there to ENOENT', () => {
    expect(lookup('value')).toBeGreaterThan(ROOT);
    expect(lookup('nothing')).toBe(-HOST_ERRNO.ENOENT);
    expect(ask(FUSE.readlink, lookup('link')).result.toString()).toBe('value');
  });
  test('a name in a directory that may not be searched leads nowhere', () => {
    const id = lookup('closed');
    expect(ask(FUSE.getattr, id).error).toBe(0);
    expect(ask(FUSE.lookup, id, Buffer.from('value\0')).error).toBe(-HOST_ERRNO.EACCES);
  });
  test('a name that was forgotten as often as it was looked up is asked for in vain', () => {
    const id = lookup('value');
    lookup('value');
    const count = Buffer.alloc(8);
    count.writeBigUInt64LE(1n);
    send(FUSE.forget, id, count);
    expect(reply()).toBeUndefined();
    expect(ask(FUSE.getattr, id).error).toBe(0);
    send(FUSE.forget, id, count);
    expect(ask(FUSE.getattr, id).error).toBe(-HOST_ERRNO.ENOENT);
  });
  test('a read sees the text as it is now', () => {
    const id = lookup('value');
    const args = Buffer.alloc(40);
    args.writeUInt32LE(4096, 16);
    expect(ask(FUSE.read, id, args).result.toString()).toBe('old\n');
    text = 'new\n';
    args.writeBigUInt64LE(1n, 8);
    expect(ask(FUSE.read, id, args).result.toString()).toBe('ew\n');
  });
  test('while the tree is mounted its names are there, and no attribute is read', () => {
    const id = lookup('value');
    access = undefined;
    expect(lookup('value')).toBe(id);
    expect(ask(FUSE.read, id, Buffer.alloc(40)).error).toBe(-HOST_ERRNO.EIO);
  });
  test('a write has its effect and its errno', () => {
    const id = lookup('value');
    const { error, result } = ask(FUSE.write, id, writeArgs('7'));
    expect([error, result.readUInt32LE(0), text]).toEqual([0, 1, '7']);
    expect(ask(FUSE.write, id, writeArgs('bad')).error).toBe(-HOST_ERRNO.EINVAL);
  });
  test('an attribute without a writer is not opened for writing, not even by root', () => {
    expect(open(lookup('read-only'), O_WRONLY)).toBe(REFUSED);
    expect(open(lookup('read-only'), 0)).toBe(0);
    expect(open(lookup('value'), O_RDWR)).toBe(0);
  });
});

describe('directories by FUSE', () => {
  test('a directory is listed in pieces, each entry once', () => {
    const names: string[] = [];
    for (let from = 0; ;) {
      const args = Buffer.alloc(40);
      args.writeBigUInt64LE(BigInt(from), 8);
      args.writeUInt32LE(64, 16);
      const { result } = ask(FUSE.readdir, ROOT, args);
      if (result.length === 0) break;
      for (let at = 0; at < result.length;) {
        const length = result.readUInt32LE(at + 16);
        names.push(result.toString('utf8', at + 24, at + 24 + length));
        from = Number(result.readBigUInt64LE(at + 8));
        at += (24 + length + 7) & ~7;
      }
    }
    expect(names).toEqual(['.', '..', 'value', 'closed', 'read-only', 'link']);
  });
  test('nothing can be made or removed', () => {
    for (const op of [FUSE.mkdir, FUSE.mknod, FUSE.unlink, FUSE.rmdir, FUSE.rename]) {
      expect(ask(op, ROOT).error).toBe(-HOST_ERRNO.EPERM);
    }
    expect(ask(FUSE.create, ROOT).error).toBe(-HOST_ERRNO.EACCES);
  });
  test('an operation we have never heard of is ENOSYS', () => {
    expect(ask(4096, ROOT).error).toBe(-HOST_ERRNO.ENOSYS);
  });
});

describe('a write that waits', () => {
  test('a write that waits is answered when it was woken and the waking call is over', () => {
    const number = send(FUSE.write, lookup('value'), writeArgs('wait'));
    expect(reply()).toBeUndefined();
    free = true;
    wait.wakeAll();
    expect(reply()).toBeUndefined();
    for (const attempt of woken) attempt();
    expect(reply()).toMatchObject({ unique: number, error: 0 });
  });
  const signal = (number: bigint): void => {
    const args = Buffer.alloc(8);
    args.writeBigUInt64LE(number);
    send(FUSE.interrupt, 0, args);
  };
  test('a write that waits goes on after a signal', () => {
    const number = send(FUSE.write, lookup('value'), writeArgs('wait'));
    signal(number);
    expect(reply()).toBeUndefined();
    expect(server.hasSignalled).toBe(true);
    free = true;
    wait.wakeAll();
    for (const attempt of woken) attempt();
    expect(reply()).toMatchObject({ unique: number, error: 0 });
    expect(server.hasSignalled).toBe(false);
  });
  test('a write that waits is EINTR when its caller dies, and goes on without it', () => {
    const dead = spawnSync('true').pid;
    const number = send(FUSE.write, lookup('value'), writeArgs('wait'), dead);
    server.endDying();
    expect(reply()).toBeUndefined();
    signal(number);
    expect(reply()).toMatchObject({ unique: number, error: -HOST_ERRNO.EINTR });
    free = true;
    wait.wakeAll();
    for (const attempt of woken) attempt();
    expect([text, reply()]).toEqual(['wait', undefined]);
  });
});
