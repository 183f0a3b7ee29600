/** Block devices on files, with a main thread that answers as it is told. */
import { MessageChannel } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import { EIO, ENOSPC } from '../../base/errno.ts';
import type { BlockReply, BlockRequest } from '../launch/block-service.ts';
import { close, eventfd2 } from '../sys/libc.ts';
import { O_CLOEXEC, O_NONBLOCK } from '../sys/numbers.ts';
import { BlockDisks } from './block-disks.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const run of closing.splice(0)) run();
});

/** A disk, and what the main thread says to each piece of work. */
function plugged(answer: (request: BlockRequest) => Omit<BlockReply, 'id'>) {
  const { port1, port2 } = new MessageChannel();
  const wakeFd = eventfd2(0, O_CLOEXEC | O_NONBLOCK);
  port2.on('message', (request: BlockRequest) => {
    port2.postMessage({ id: request.id, ...answer(request) } satisfies BlockReply);
  });
  closing.push(
    () => port2.close(),
    () => close(wakeFd),
  );
  const file = { name: 'd', fd: -1, length: 8192, mode: 'read-write' } as const;
  const disks = new BlockDisks({ files: [file], port: port1, wakeFd });
  const delivered = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 20));
    disks.deliver();
  };
  return { disk: disks.disks.get('d')!, delivered };
}

test('nothing is done before it is delivered, and then each with its own answer', async () => {
  const { disk, delivered } = plugged(({ what, at }) =>
    what === 'read' ? { bytes: new Uint8Array(4).fill(at / 512) } : {},
  );
  const ended: unknown[] = [];
  const [one, two] = [new Uint8Array(4), new Uint8Array(4)];
  disk.read(512n, one, (rc) => ended.push(rc));
  disk.read(1024n, two, (rc) => ended.push(rc));
  disk.flush((rc) => ended.push(rc));
  expect(ended).toEqual([]);
  await delivered();
  expect(ended).toEqual([undefined, undefined, undefined]);
  expect([one[0], two[0]]).toEqual([1, 2]);
});

test.for([
  ['EIO', EIO],
  ['ENOSPC', ENOSPC],
] as const)('a host that says %s is heard by the device', async ([failed, errno]) => {
  const { disk, delivered } = plugged(() => ({ failed }));
  let ended: unknown;
  disk.write(0n, new Uint8Array(512), (rc) => {
    ended = rc;
  });
  await delivered();
  expect(ended).toBe(errno);
});
