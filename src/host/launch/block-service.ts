/**
 * Work on the files of block devices, done by the main thread: the kernel thread never waits for a disk.
 *
 * Work at the same place is done in order, and a flush after all writes that came before it. Each answer is a message,
 * and the kernel thread is woken for it.
 */
import { fdatasync, fstatSync, read, write } from 'node:fs';
import type { MessagePort } from 'node:worker_threads';
import * as libc from '../sys/libc.ts';
import { syscall } from '../sys/ffi.ts';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, NR } from '../sys/numbers.ts';
import type { BlockFile } from './block-files.ts';

/** Something to be done. */
export interface BlockRequest {
  readonly id: number;
  /** Which of the files. */
  readonly file: number;
  readonly what: 'read' | 'write' | 'zero' | 'flush';
  readonly at: number;
  readonly length: number;
  /** What is to be written. */
  readonly bytes?: Uint8Array;
}
/** What became of it. */
export interface BlockReply {
  readonly id: number;
  readonly failed?: 'EIO' | 'ENOSPC';
  /** What was read. */
  readonly bytes?: Uint8Array;
}
/** What the kernel thread is given of the files of a run. */
export interface BlockChannel {
  readonly files: readonly BlockFile[];
  readonly port: MessagePort;
  /** An eventfd: replies have come. */
  readonly wakeFd: number;
}

type Failure = BlockReply['failed'];
type Done = (failed: Failure, bytes?: Uint8Array) => void;
/** Bytes of zeros that are written at once. */
const ZEROS = new Uint8Array(2 ** 20);

/** Serves the files of one run. */
export class BlockService {
  readonly #queues: readonly FileQueue[];
  readonly #port: MessagePort;
  readonly #wake: () => void;

  constructor({ files, port, wakeFd }: BlockChannel) {
    const one = Buffer.alloc(8);
    one.writeBigUInt64LE(1n);
    this.#queues = files.map(({ fd }) => new FileQueue(fd));
    this.#port = port;
    this.#wake = () => libc.write(wakeFd, one);
    port.on('message', (request: BlockRequest) => this.#serve(request));
  }
  /** When nothing is being written any more. */
  async close(): Promise<void> {
    await Promise.all(this.#queues.map((queue) => queue.idle()));
    this.#port.close();
  }

  #serve(request: BlockRequest): void {
    this.#queues[request.file]!.add(request, (failed, bytes) => {
      const reply: BlockReply = {
        id: request.id,
        ...(failed && { failed }),
        ...(bytes && { bytes }),
      };
      // cast: bytes of ours are never shared
      this.#port.postMessage(reply, bytes ? [bytes.buffer as ArrayBuffer] : []);
      this.#wake();
    });
  }
}

interface Work {
  readonly request: BlockRequest;
  readonly done: Done;
  isRunning: boolean;
}

/** The work on one file, oldest first. */
class FileQueue {
  readonly #fd: number;
  readonly #works = new Set<Work>();
  #onIdle: (() => void)[] = [];

  constructor(fd: number) {
    this.#fd = fd;
  }
  add(request: BlockRequest, done: Done): void {
    this.#works.add({ request, done, isRunning: false });
    this.#start();
  }
  idle(): Promise<void> {
    if (this.#works.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** What has to wait for nothing that came before it. */
  #start(): void {
    const before: BlockRequest[] = [];
    for (const work of this.#works) {
      const { request } = work;
      if (!work.isRunning && !before.some((other) => conflict(other, request))) {
        work.isRunning = true;
        this.#run(request, (failed, bytes) => this.#end(work, failed, bytes));
      }
      before.push(request);
    }
  }
  #end(work: Work, failed: Failure, bytes: Uint8Array | undefined): void {
    this.#works.delete(work);
    work.done(failed, bytes);
    this.#start();
    if (this.#works.size === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }
  /** A file that has become shorter has no bytes there, and is not made longer again: an error, as of a disk. */
  #run(request: BlockRequest, done: Done): void {
    const { what, at, length, bytes } = request;
    if (what === 'flush') fdatasync(this.#fd, (error) => done(failureOf(error)));
    else if (fstatSync(this.#fd).size < at + length) done('EIO');
    else if (what === 'zero') zeroFile(this.#fd, at, length, done);
    else if (what === 'write') writeFile(this.#fd, at, bytes!, done);
    else readFile(this.#fd, at, new Uint8Array(length), done);
  }
}

function conflict(first: BlockRequest, second: BlockRequest): boolean {
  if (first.what === 'read' && second.what === 'read') return false;
  if (first.what === 'flush' || second.what === 'flush') {
    return first.what !== 'read' && second.what !== 'read';
  }
  return first.at < second.at + second.length && second.at < first.at + first.length;
}

function readFile(fd: number, at: number, into: Uint8Array, done: Done, from = 0): void {
  read(fd, into, from, into.length - from, at + from, (error, count) => {
    if (error) done(failureOf(error));
    else if (count === 0) done('EIO');
    else if (from + count === into.length) done(undefined, into);
    else readFile(fd, at, into, done, from + count);
  });
}
function writeFile(fd: number, at: number, bytes: Uint8Array, done: Done, from = 0): void {
  write(fd, bytes, from, bytes.length - from, at + from, (error, count) => {
    if (error) done(failureOf(error));
    else if (from + count === bytes.length) done(undefined);
    else writeFile(fd, at, bytes, done, from + count);
  });
}
/** A hole where the file system has them, else zeros. */
function zeroFile(fd: number, at: number, length: number, done: Done): void {
  const how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (length === 0 || syscall(NR.fallocate, fd, how, at, length) === 0) done(undefined);
  else writeZeros(fd, at, length, done);
}
function writeZeros(fd: number, at: number, length: number, done: Done): void {
  const part = ZEROS.subarray(0, Math.min(length, ZEROS.length));
  writeFile(fd, at, part, (failed) => {
    if (failed || part.length === length) done(failed);
    else writeZeros(fd, at + part.length, length - part.length, done);
  });
}

const NO_SPACE: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
function failureOf(error: NodeJS.ErrnoException | null): Failure {
  if (!error) return undefined;
  return NO_SPACE.has(error.code ?? '') ? 'ENOSPC' : 'EIO';
}
