/** What was mapped in one domain, and when: every mapping with the events between which it was there. */
import { IntervalMap } from '../../base/interval-map.ts';
import { hiWord, loWord } from '../../base/word-pair.ts';

/** A range of IO virtual addresses that led somewhere for a while. Addresses in bytes. */
export interface MappingStory {
  readonly iova: bigint;
  /** Its last byte. */
  readonly last: bigint;
  /** Where its first byte led; undefined when the event did not say. */
  readonly pa: bigint | undefined;
  /** IOMMU_READ, IOMMU_WRITE and kin; undefined when the event did not say. */
  readonly prot: number | undefined;
  /** `seq` of the event that mapped it. */
  readonly from: number;
  /** `seq` of the event that ended it; undefined: it was there at the end. */
  to: number | undefined;
  /** `seq` of what devices did through it. */
  readonly dmas: number[];
}

/** The mappings of one domain over time. */
export class AddressStory {
  /** All there ever were, in the order they were made. */
  readonly mappings: MappingStory[] = [];
  readonly #living = new IntervalMap<MappingStory>();

  /** Of one that is there already the earlier part of the story wins, for a driver maps nothing twice. */
  map(
    seq: number,
    { iova, last, pa, prot }: Pick<MappingStory, 'iova' | 'last' | 'pa' | 'prot'>,
  ): void {
    this.#add({ iova, last, pa, prot, from: seq, to: undefined, dmas: [] });
  }
  /** What is left of a mapping that was unmapped in part goes on as a mapping of its own, as old as before. */
  unmap(seq: number, iova: bigint, last: bigint): void {
    for (let found = this.#seek(iova); found && found.iova <= last; found = this.#seek(iova)) {
      this.#living.erase(hiWord(found.iova), loWord(found.iova));
      found.to = seq;
      if (found.iova < iova) this.#add(part(found, found.iova, iova - 1n));
      if (found.last > last) this.#add(part(found, last + 1n, found.last));
    }
  }
  /** The mapping of an address now. */
  find(iova: bigint): MappingStory | undefined {
    return this.#living.find(hiWord(iova), loWord(iova));
  }

  /** What was mapped when an event happened, by ascending address. */
  at(seq: number): MappingStory[] {
    return this.mappings
      .filter(({ from, to }) => from <= seq && (to === undefined || to > seq))
      .sort((a, b) => (a.iova < b.iova ? -1 : 1));
  }

  #seek(iova: bigint): MappingStory | undefined {
    return this.#living.seek(hiWord(iova), loWord(iova));
  }
  #add(mapping: MappingStory): void {
    const { iova, last } = mapping;
    if (this.#living.insert(hiWord(iova), loWord(iova), hiWord(last), loWord(last), mapping)) {
      this.mappings.push(mapping);
    }
  }
}

function part(of: MappingStory, iova: bigint, last: bigint): MappingStory {
  const pa = of.pa === undefined ? undefined : of.pa + (iova - of.iova);
  return { ...of, iova, last, pa, to: undefined, dmas: [] };
}

/** The size of a hole or a mapping in words: '4 KiB', '1.5 GiB'. */
export function sizeText(bytes: bigint): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let unit = 0;
  let value = Number(bytes);
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const shown = Number.isInteger(value) ? String(value) : value.toFixed(1);
  return `${shown} ${bytes === 1n ? 'byte' : units[unit]!}`;
}
