/** mmap of an iommufd: regions that drivers publish through VIOMMU_ALLOC (iommufd.md 2.22). */
import { EINVAL, ENXIO, EPERM, type Result } from '../base/errno.ts';
import type { Mapping, MmapRequest, SharedPages } from '../base/file.ts';
import { refuse } from '../base/refuse.ts';
import { hex } from '../base/u64.ts';
import type { IommufdObject } from './object.ts';

interface MmapRegion {
  readonly owner: IommufdObject;
  readonly offset: bigint;
  readonly pages: SharedPages;
}

export class MmapRegions {
  /** By offset, ascending. */
  readonly #regions: MmapRegion[] = [];

  /** Publish pages at the lowest offset that fits, the first page never; the result is the offset. */
  publish(owner: IommufdObject, pages: SharedPages): bigint {
    const length = BigInt(pages.length);
    let offset = 4096n;
    let at = 0;
    for (; at < this.#regions.length; at++) {
      const region = this.#regions[at]!;
      if (region.offset - offset >= length) break;
      offset = region.offset + BigInt(region.pages.length);
    }
    this.#regions.splice(at, 0, { owner, offset, pages });
    return offset;
  }
  /** Drop what an owner has published, or one region of it; the pages stay the publisher's. */
  withdraw(owner: IommufdObject, offset?: bigint): void {
    for (let at = this.#regions.length - 1; at >= 0; at--) {
      const region = this.#regions[at]!;
      if (region.owner !== owner || (offset !== undefined && region.offset !== offset)) continue;
      this.#regions.splice(at, 1);
    }
  }

  /** Errnos: EINVAL not whole pages or not shared; EPERM executable; ENXIO not exactly a region. */
  map(request: MmapRequest): Result<Mapping> {
    if ((request.length & 4095n) !== 0n)
      return refuse(EINVAL, 'the length is not whole pages', { length: request.length });
    if (!request.shared)
      return refuse(EINVAL, 'an iommufd can only be mapped MAP_SHARED', { offset: request.offset });
    if (request.exec)
      return refuse(EPERM, 'an iommufd cannot be mapped executable', { offset: request.offset });
    const region = this.#regions.find((r) => r.offset === request.offset);
    if (!region || BigInt(region.pages.length) !== request.length) {
      return refuse(ENXIO, 'offset and length are not those of a published region', {
        offset: hex(request.offset),
        length: request.length,
      });
    }
    const { owner, pages } = region;
    owner.users++;
    const open = (): void => {
      owner.users++;
    };
    const close = (): void => {
      owner.users--;
    };
    return { kind: 'pages', pages, start: 0, open, close };
  }
}
