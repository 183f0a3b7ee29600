/** The block devices of a machine: those in memory are made here, those on files by whoever may open files. */
import { EIO } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { BlockBacking, Completion, HostBackings } from '../../devices/host-services.ts';
import { MemoryDisk } from '../../devices/unit/memory-disk.ts';
import { bytesOf } from '../description/block-sizes.ts';
import type { MachineDescription } from '../description/description.ts';

export type { BlockBacking, BlockErrors, Completion } from '../../devices/host-services.ts';
export { OverlayDisk } from '../../devices/unit/overlay-disk.ts';

/** What devices may use of the host, with the storage the description speaks of. */
export function withBlocks(description: MachineDescription, host: HostBackings): HostBackings {
  const described = Object.entries(description.blocks).map(
    ([name, { memory }]): [string, BlockBacking] => [
      name,
      memory === undefined ? new UnopenedDisk() : new MemoryDisk(BigInt(bytesOf(memory))),
    ],
  );
  return { ...host, blocks: new Map([...described, ...(host.blocks ?? [])]) };
}

/** A file that nobody has opened, in a machine that is only looked at: a disk without blocks. */
class UnopenedDisk implements BlockBacking {
  readonly length = 0n;
  readonly isReadOnly = true;

  read(_at: bigint, _into: Uint8Array, done: Completion): void {
    this.#refuse(done);
  }
  write(_at: bigint, _from: Uint8Array, done: Completion): void {
    this.#refuse(done);
  }
  zero(_at: bigint, _length: bigint, done: Completion): void {
    this.#refuse(done);
  }
  flush(done: Completion): void {
    this.#refuse(done);
  }
  #refuse(done: Completion): void {
    done(refuse(EIO, 'nobody has opened the file of the block device'));
  }
}
