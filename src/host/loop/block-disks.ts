/** Block devices on files, as the kernel thread has them: work goes to the main thread, and comes back in a turn. */
import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { EIO, ENOSPC } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { OverlayDisk, type BlockBacking, type Completion } from '../../machine/hardware/blocks.ts';
import type { BlockFile } from '../launch/block-files.ts';
import type { BlockChannel, BlockReply, BlockRequest } from '../launch/block-service.ts';
import * as libc from '../sys/libc.ts';

interface UnderWay {
  readonly done: Completion;
  /** Where what is read belongs. */
  readonly into?: Uint8Array;
}

/** The disks of one run. */
export class BlockDisks {
  readonly wakeFd: number;
  /** By the names of the description. */
  readonly disks: ReadonlyMap<string, BlockBacking>;
  readonly #port: MessagePort;
  readonly #underWay = new Map<number, UnderWay>();
  #lastId = 0;

  constructor({ files, port, wakeFd }: BlockChannel) {
    this.wakeFd = wakeFd;
    this.#port = port;
    this.disks = new Map(
      files.map((file, n) => {
        const disk = this.#disk(file, n);
        return [file.name, file.mode === 'copy-on-write' ? new OverlayDisk(disk) : disk];
      }),
    );
  }
  /** What has been answered. */
  deliver(): void {
    libc.read(this.wakeFd, Buffer.alloc(8));
    for (;;) {
      const message = receiveMessageOnPort(this.#port);
      if (!message) return;
      // cast: what block-service.ts sends
      this.#end(message.message as BlockReply);
    }
  }

  #disk({ length, mode }: BlockFile, file: number): BlockBacking {
    return {
      length: BigInt(length),
      isReadOnly: mode === 'read-only',
      read: (at, into, done) => {
        this.#ask({ file, what: 'read', at: Number(at), length: into.length }, { done, into });
      },
      write: (at, from, done) => {
        const request = { file, what: 'write', at: Number(at), length: from.length } as const;
        this.#ask({ ...request, bytes: from.slice() }, { done });
      },
      zero: (at, bytes, done) => {
        this.#ask({ file, what: 'zero', at: Number(at), length: Number(bytes) }, { done });
      },
      flush: (done) => this.#ask({ file, what: 'flush', at: 0, length: 0 }, { done }),
    };
  }
  #ask(request: Omit<BlockRequest, 'id'>, underWay: UnderWay): void {
    const id = ++this.#lastId;
    this.#underWay.set(id, underWay);
    this.#port.postMessage({ ...request, id } satisfies BlockRequest);
  }
  #end({ id, failed, bytes }: BlockReply): void {
    const { done, into } = this.#underWay.get(id)!;
    this.#underWay.delete(id);
    if (bytes) into?.set(bytes);
    if (failed === 'ENOSPC') done(refuse(ENOSPC, 'the host has no space for the file'));
    else if (failed) done(refuse(EIO, "the host's file could not be read or written"));
    else done(undefined);
  }
}
