/** The backing of a mock domain without a page table: the pages themselves, in a map by granule. */
import { EEXIST, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { MapPages, MapProgress } from '../../core/contract/domain.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';
import type { MockDomainKnobs } from './knobs.ts';

interface Page {
  readonly paG: number;
  readonly sizeG: number;
  readonly prot: number;
}

export class PageList {
  /** By first granule. A page stands once, whatever its size. */
  readonly #pages = new Map<number, Page>();
  readonly #sizes = new Set<number>();
  readonly #knobs: MockDomainKnobs;

  constructor(knobs: MockDomainKnobs) {
    this.#knobs = knobs;
  }
  get size(): number {
    return this.#pages.size;
  }
  map({ iovaG: first, paG, pageG, count, prot }: MapPages, progress: MapProgress): Status {
    const { mapFailure } = this.#knobs;
    for (let n = 0; n < count; n++) {
      const iovaG = first + n * pageG;
      if (mapFailure && n >= mapFailure.afterPages) {
        return refuse(mapFailure.errno, 'mapping was made to fail', { pages: n });
      }
      if (this.lookup(iovaG) >= 0) {
        return refuse(EEXIST, 'the page is mapped already', { iovaG });
      }
      this.#pages.set(iovaG, { paG: paG + n * pageG, sizeG: pageG, prot });
      this.#sizes.add(pageG);
      progress.mapped += pageG;
    }
    return undefined;
  }
  /** Granules removed; stops at a hole, removes a larger page whole. */
  unmap(iovaG: number, pageG: number, count: number): number {
    let done = 0;
    while (done < pageG * count) {
      const page = this.#pages.get(iovaG + done);
      if (!page || this.#knobs.unmapHole === iovaG + done) break;
      this.#pages.delete(iovaG + done);
      done += page.sizeG;
    }
    return done;
  }
  #find(iovaG: number): { page: Page; offset: number } | undefined {
    for (const sizeG of this.#sizes) {
      const first = Math.floor(iovaG / sizeG) * sizeG;
      const page = this.#pages.get(first);
      if (page && first + page.sizeG > iovaG) return { page, offset: iovaG - first };
    }
    return undefined;
  }
  /** Output granule, or -1. */
  lookup(iovaG: number): number {
    const found = this.#find(iovaG);
    return found ? found.page.paG + found.offset : -1;
  }
  allows(iovaG: number, write: boolean): boolean {
    const found = this.#find(iovaG);
    return found !== undefined && (found.page.prot & (write ? IOMMU_WRITE : IOMMU_READ)) !== 0;
  }
}
