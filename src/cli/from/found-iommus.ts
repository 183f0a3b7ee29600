/**
 * The IOMMUs of a machine that was found: an entry each of a type that knows it, by what its attributes say. Of an IOMMU
 * that no type knows, the first one of a description stands for it.
 */
import type { IommuDescription } from '../../machine/description/description.ts';
import type { HardwareTypes } from '../../machine/description/entries.ts';
import { printable } from '../../machine/description/wording.ts';
import { UserMistake } from '../user-mistake.ts';
import type { FoundFunction, FoundIommu } from './found-function.ts';

type Names = Pick<FoundFunction, 'iommu'>;

/** All of them. */
export class FoundIommus {
  /** In the order of their names; none: nothing is known of any. */
  readonly entries: readonly IommuDescription[];
  /** Lines about those that no type knows. */
  readonly remarks: readonly string[];
  readonly #names: ReadonlySet<string>;

  /** Throws UserMistake where attributes are none that Linux writes. */
  constructor(found: readonly FoundFunction[], { iommus }: HardwareTypes) {
    const units = new Map(found.flatMap(({ iommu }) => (iommu ? [[iommu.name, iommu]] : [])));
    const sorted = [...units.values()].sort((a, b) => byNumber.compare(a.name, b.name));
    const known = sorted.map((unit) => entryOf(unit, iommus));
    this.entries = known.filter((entry) => entry !== undefined);
    this.#names = new Set(this.entries.map(({ name }) => name!));
    this.remarks = sorted
      .filter(({ name }) => !this.#names.has(name))
      .map(({ name }) => `IOMMU ${name}: no type here is like it; another one stands for it`);
  }

  /** Of a device behind a bridge that has `above`, or on a root bus. */
  of({ iommu }: Names, above: string | undefined): string | undefined {
    const first = this.entries[0]?.name;
    if (first === undefined) return undefined;
    if (!iommu) return 'none';
    return this.#names.has(iommu.name) ? iommu.name : (above ?? first);
  }
  /** What the device says; nothing where it is what it would have anyway. */
  wish(names: Names, above: string | undefined): { readonly iommu?: string } {
    const iommu = this.of(names, above);
    return iommu === undefined || iommu === (above ?? this.entries[0]?.name) ? {} : { iommu };
  }
}

/** 'dmar10' comes after 'dmar9'. */
const byNumber = new Intl.Collator('en', { numeric: true });

function entryOf(
  { name, attributes }: FoundIommu,
  types: HardwareTypes['iommus'],
): IommuDescription | undefined {
  for (const { type, seen } of types.values()) {
    const texts = seen?.attributes.flatMap((file) => attributes.get(file) ?? []);
    if (!seen || texts?.length !== seen.attributes.length) continue;
    const options = seen.options(texts);
    if (options) return { type, name, ...options };
    const values = texts.map((text) => `'${printable(text.trimEnd())}'`).join(' and ');
    throw new UserMistake(
      `IOMMU ${printable(name)}: Linux writes no such ${seen.attributes.join(' and ')}: ${values}`,
    );
  }
  return undefined;
}
