/** A page-table format written a second time, slowly: bigint words from its description, and a walk of the RAM with it. */
import { bit } from '../../base/u64.ts';

/** What a configuration may have that shows in the words of entries. */
export type Flag = 'force-coherent' | 'dma-incoherent' | 'memory-types';

/** What a leaf says. */
export interface OracleLeaf {
  readonly pa: bigint;
  readonly sizeLg2: number;
}

/** A format for comparison: it shares no code with the format it judges. */
export interface Oracle {
  readonly granuleLg2: number;
  /** Index bits a level, and those the top table has besides: 9 and 0 if not said. */
  readonly levelBits?: number;
  readonly rootBits?: number;
  /** `level` counts from 0, the level of the smallest pages. */
  kind(entry: bigint, level: number): 'empty' | 'table' | 'leaf';
  /** The physical byte address of the table an entry points to. */
  tablePa(entry: bigint): bigint;
  /** What a leaf says. */
  decode(entry: bigint, level: number): OracleLeaf;
  /** The word of each item of a leaf. */
  leaf(leaf: OracleLeaf, level: number, prot: number, flags: ReadonlySet<Flag>): bigint;
  /** The word that points to a table at a physical byte address. */
  table(pa: bigint, level: number, flags: ReadonlySet<Flag>): bigint;
}

/** The words of RAM, as hardware reads them. */
export function readWord(bytes: Uint8Array, pa: bigint): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(Number(pa), true);
}

/** An entry that was read on the way. */
export interface OracleStep {
  readonly level: number;
  readonly entry: bigint;
  readonly entryPa: bigint;
}

/** All entries from the top to the leaf or the hole; the output address, if there is one. */
export function oracleWalk(
  oracle: Oracle,
  bytes: Uint8Array,
  top: { pfn: number; level: number },
  iova: bigint,
): { steps: OracleStep[]; pa: bigint | undefined; leaf: OracleLeaf | undefined } {
  const steps: OracleStep[] = [];
  const bits = oracle.levelBits ?? 9;
  let base = BigInt(top.pfn) << 12n;
  for (let level = top.level; ; level--) {
    const wide = level === top.level ? (oracle.rootBits ?? 0) : 0;
    const index = (iova >> BigInt(oracle.granuleLg2 + bits * level)) & (bit(bits + wide) - 1n);
    const entryPa = base + index * 8n;
    const entry = readWord(bytes, entryPa);
    steps.push({ level, entry, entryPa });
    const kind = oracle.kind(entry, level);
    if (kind === 'empty') return { steps, pa: undefined, leaf: undefined };
    if (kind === 'leaf') {
      const leaf = oracle.decode(entry, level);
      const inside = iova & (bit(leaf.sizeLg2) - 1n);
      return { steps, pa: leaf.pa | inside, leaf };
    }
    base = oracle.tablePa(entry);
  }
}
