/** Files of block devices: which are refused, and how work on them is done. */
import {
  closeSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { afterAll, describe, expect, test } from 'vitest';
import { eventfd2, close } from '../sys/libc.ts';
import { O_CLOEXEC, O_NONBLOCK } from '../sys/numbers.ts';
import { openBlockFiles, type BlockFile } from './block-files.ts';
import { BlockService, type BlockReply, type BlockRequest } from './block-service.ts';

const folder = mkdtempSync(join(tmpdir(), 'block-files-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
let names = 0;
function image(bytes = 4096): string {
  const file = join(folder, `${++names}.raw`);
  writeFileSync(file, new Uint8Array(bytes).fill(names));
  return file;
}
function opened(blocks: Parameters<typeof openBlockFiles>[0]): readonly BlockFile[] {
  const result = openBlockFiles(blocks);
  if ('problems' in result) throw new Error(result.problems[0]!.message);
  return result.files;
}
function problem(blocks: Parameters<typeof openBlockFiles>[0]): string {
  const result = openBlockFiles(blocks);
  if ('problems' in result) return result.problems.map(({ message }) => message).join();
  for (const { fd } of result.files) closeSync(fd);
  return 'nothing is wrong';
}

describe('a file is refused', () => {
  test('that is not there, has no blocks, or is no file', () => {
    expect(problem({ d: { file: '/nowhere/x' } })).toContain('there is no such file');
    expect(problem({ d: { file: image(0) } })).toContain('is empty, and a disk has blocks');
    expect(problem({ d: { file: image(513) } })).toContain('is 513 bytes long');
    expect(problem({ d: { file: folder } })).toContain('it is a directory');
    expect(problem({ d: { file: '/dev/null' } })).toContain('is no regular file');
  });
  test('that is used otherwise: by another block device or run, unless both only read it', () => {
    const file = image();
    const first = opened({ d: { file, mode: 'read-only' }, e: { file, mode: 'copy-on-write' } });
    expect(problem({ d: { file } })).toContain('is in use by another block device or another run');
    for (const { fd } of first) closeSync(fd);
    expect(problem({ d: { file }, e: { file } })).toContain('is in use');
    expect(problem({ d: { file } })).toBe('nothing is wrong');
  });
  test('that is there with another size than the one to be made', () => {
    expect(problem({ d: { file: image(), size: '1M' } })).toContain(
      'is there, and 4096 bytes long',
    );
    expect(problem({ d: { file: join(folder, 'huge'), size: '1024T' } })).toMatch(
      /it would be too large|no space/,
    );
    expect(() => statSync(join(folder, 'huge'))).toThrow();
  });
});
test('a new file is sparse, and of its maker alone', () => {
  const file = join(folder, 'new.raw');
  const [made] = opened({ d: { file, size: '1M' } });
  const { size, blocks, mode } = statSync(file);
  expect([made?.length, size, blocks, mode & 0o777]).toEqual([0x10_0000, 0x10_0000, 0, 0o600]);
  closeSync(made!.fd);
});

/** A service of one file, and the way to ask it. */
class Client implements AsyncDisposable {
  readonly #service: BlockService;
  readonly #port: MessagePort;
  readonly #wakeFd = eventfd2(0, O_CLOEXEC | O_NONBLOCK);
  readonly #replies = new Map<number, (reply: BlockReply) => void>();
  readonly #file: BlockFile;
  readonly answered: number[] = [];
  #id = 0;

  constructor(file: string) {
    const { port1, port2 } = new MessageChannel();
    const files = opened({ d: { file } });
    this.#file = files[0]!;
    this.#service = new BlockService({ files, port: port1, wakeFd: this.#wakeFd });
    this.#port = port2;
    port2.on('message', (reply: BlockReply) => {
      this.answered.push(reply.id);
      this.#replies.get(reply.id)?.(reply);
    });
  }
  ask(request: Omit<BlockRequest, 'id' | 'file'>): Promise<BlockReply> {
    const id = ++this.#id;
    return new Promise((resolve) => {
      this.#replies.set(id, resolve);
      this.#port.postMessage({ ...request, id, file: 0 } satisfies BlockRequest);
    });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service.close();
    this.#port.close();
    closeSync(this.#file.fd);
    close(this.#wakeFd);
  }
}

describe('work on a file', () => {
  test('at one place is done in order, and a flush after what was written', async () => {
    const file = image(2 ** 20);
    await using client = new Client(file);
    const works: Promise<BlockReply>[] = [];
    for (let n = 1; n <= 20; n++) {
      const bytes = new Uint8Array(0x1_0000).fill(n);
      works.push(client.ask({ what: 'write', at: 512, length: bytes.length, bytes }));
    }
    works.push(client.ask({ what: 'read', at: 0, length: 1024 }));
    works.push(client.ask({ what: 'flush', at: 0, length: 0 }));
    const replies = await Promise.all(works);
    expect(replies.filter(({ failed }) => failed)).toEqual([]);
    expect([replies[20]!.bytes![511], replies[20]!.bytes![512]]).toEqual([names, 20]);
    expect(client.answered.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
    expect(readFileSync(file)[512]).toBe(20);
  });
  test('gives back the space of what is zeros', async () => {
    const file = image(2 ** 20);
    await using client = new Client(file);
    expect(await client.ask({ what: 'zero', at: 0, length: 2 ** 20 })).toEqual({ id: 1 });
    expect(statSync(file).size).toBe(2 ** 20);
    expect(readFileSync(file).every((byte) => byte === 0)).toBe(true);
  });
  test('fails where somebody has made the file shorter', async () => {
    const file = image(8192);
    await using client = new Client(file);
    truncateSync(file, 1000);
    const bytes = new Uint8Array(512);
    for (const work of [{ what: 'write', bytes } as const, { what: 'zero' } as const]) {
      expect(await client.ask({ ...work, at: 4096, length: 512 })).toMatchObject({ failed: 'EIO' });
    }
    expect(statSync(file).size).toBe(1000);
    expect(await client.ask({ what: 'read', at: 0, length: 4096 })).toEqual({
      id: 3,
      failed: 'EIO',
    });
    expect((await client.ask({ what: 'read', at: 0, length: 512 })).bytes?.[0]).toBe(names);
  });
});
