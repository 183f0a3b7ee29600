/** The storage a description speaks of, in a machine that opens no files. */
import { expect, test } from 'vitest';
import { EIO } from '../../base/errno.ts';
import { DEFAULT_MACHINE } from '../description/default-machine.ts';
import { withBlocks } from './blocks.ts';

const description = {
  ...DEFAULT_MACHINE,
  blocks: { ram: { memory: '1M' }, image: { file: 'disk.raw', mode: 'read-write' as const } },
};

test('a disk in memory is made, and keeps what is written', () => {
  const disk = withBlocks(description, {}).blocks!.get('ram')!;
  expect(disk.length).toBe(1n << 20n);
  const back = new Uint8Array(2);
  const ended: unknown[] = [];
  disk.write(512n, Uint8Array.of(1, 2), (rc) => ended.push(rc));
  disk.read(512n, back, (rc) => ended.push(rc));
  expect([ended, ...back]).toEqual([[undefined, undefined], 1, 2]);
});

test('a file that nobody has opened has no blocks, and all work on it is EIO', () => {
  const disk = withBlocks(description, {}).blocks!.get('image')!;
  const ended: unknown[] = [];
  const done = (rc: unknown): void => void ended.push(rc);
  disk.read(0n, new Uint8Array(1), done);
  disk.write(0n, new Uint8Array(1), done);
  disk.zero(0n, 1n, done);
  disk.flush(done);
  expect([disk.length, ended]).toEqual([0n, [EIO, EIO, EIO, EIO]]);
});

test('what the host gives by the same name goes before', () => {
  const { blocks } = withBlocks(description, {});
  const given = new Map([['image', blocks!.get('ram')!]]);
  expect(withBlocks(description, { blocks: given }).blocks!.get('image')).toBe(given.get('image'));
});
