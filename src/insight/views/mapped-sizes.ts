/** How many bytes programs have mapped in their address spaces: an IOAS of an iommufd, or a container of type 1. */
import type { LeaveEvent } from '../../base/events.ts';
import { askedRange } from '../sanitizer/mapping-commands.ts';

/** What has become of one. */
interface Changed {
  /** 'IOAS 1 (process 7, fd 3)' */
  readonly name: string;
  readonly bytes: bigint;
}
/** One, and what is mapped there. */
interface Space {
  /** What its descriptor is of. */
  readonly file: string | undefined;
  bytes: bigint;
  /** Such a file was closed since: by which descriptor is not always told. */
  mayBeGone: boolean;
}

/** Follows the commands of all programs. */
export class MappedSizes {
  readonly #spaces = new Map<string, Space>();

  /** Undefined: the call has mapped and unmapped nothing. */
  leave(event: LeaveEvent): Changed | undefined {
    if (event.result !== 0) return undefined;
    if (event.name === 'close') this.#closed(event);
    this.#begun(event);
    const asked = askedRange(event);
    if (!asked) return undefined;
    const bytes = asked.what === 'map' ? asked.length : -asked.done;
    return bytes === 0n ? undefined : this.#changed(event, nameOf(event, asked.ioas), bytes);
  }
  #changed({ file }: LeaveEvent, name: string, more: bigint): Changed {
    const space = this.#spaces.get(name) ?? { file, bytes: 0n, mayBeGone: false };
    this.#spaces.set(name, space);
    space.bytes += more;
    return { name, bytes: space.bytes };
  }
  #closed({ file }: LeaveEvent): void {
    for (const space of this.#spaces.values()) if (space.file === file) space.mayBeGone = true;
  }
  /** Descriptors and ids are used again: what was mapped under them before is gone. */
  #begun(event: LeaveEvent): void {
    const { command, after } = event;
    if (command === 'IOMMU_IOAS_ALLOC') {
      this.#spaces.delete(nameOf(event, Number(after?.['out_ioas_id'])));
    } else if (command === 'VFIO_SET_IOMMU') {
      // An iommufd that plays a container may be asked again, with everything mapped.
      const name = nameOf(event, undefined);
      if (this.#spaces.get(name)?.mayBeGone) this.#spaces.delete(name);
    }
  }
}
function nameOf({ pid, fd }: LeaveEvent, ioas: number | undefined): string {
  return `${ioas === undefined ? 'container' : `IOAS ${ioas}`} (process ${pid}, fd ${fd})`;
}
