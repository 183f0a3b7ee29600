/**
 * The PASID directory and tables of a device, and the entry each kind of domain gets (formats.md 7; VT-d 9.5, 9.6,
 * 6.2.3.1).
 *
 * Order of writing: all fields, then P. Order of clearing: P, caches, then the rest.
 */
import { Bug, bugOn } from '../../../base/bug.ts';
import { EBUSY, ENODEV, isErrno, type Result, type Status } from '../../../base/errno.ts';
import { refuse } from '../../../base/refuse.ts';
import { pow2 } from '../../../base/u64.ts';
import { FRAME_WORDS, type Ram } from '../../../pt/ram.ts';
import { pasidDirectory, pasidEntry } from '../words.ts';

const ENTRY_WORDS = 16;

/** Values of a PASID entry; what is left out is 0. */
export type PasidEntryFields = Partial<
  Record<Exclude<keyof typeof pasidEntry, '$words' | '$name' | 'p'>, number>
>;

export class PasidTable {
  readonly #ram: Ram;
  readonly directoryPfn: number;
  readonly #directoryFrames: number;
  /** PASIDs this table has room for. */
  readonly maxPasid: number;

  private constructor(ram: Ram, directoryPfn: number, directoryFrames: number, maxPasid: number) {
    this.#ram = ram;
    this.directoryPfn = directoryPfn;
    this.#directoryFrames = directoryFrames;
    this.maxPasid = maxPasid;
  }

  /** An empty directory for 2^pasidBits PASIDs: 2^(PDTS + 7) entries. @kernel intel_pasid_alloc_table */
  static create(ram: Ram, pasidBits: number): Result<PasidTable, 'ENOMEM'> {
    const entries = pow2(Math.max(7, pasidBits - 6));
    const frames = Math.ceil((entries * 8) / 4096);
    const directory = ram.allocRun(frames);
    if (isErrno(directory)) return directory;
    return new PasidTable(ram, directory, frames, entries * 64);
  }

  /** PDTS of the context entry. */
  get pdts(): number {
    return Math.log2(this.maxPasid / 64) - 7;
  }

  /** Word index of an entry; undefined when its table was never needed. @kernel intel_pasid_get_entry */
  find(pasid: number): number | undefined {
    const dir = this.directoryPfn * FRAME_WORDS + (pasid >> 6) * 2;
    if (pasidDirectory.p.get(this.#ram.words, dir) === 0) return undefined;
    const table = pasidDirectory.table.get(this.#ram.words, dir);
    return table * FRAME_WORDS + (pasid & 63) * ENTRY_WORDS;
  }

  /** Make sure an entry can be written. ENODEV: no memory for its table, as the kernel answers. */
  prepare(pasid: number): Status<'ENODEV'> {
    bugOn(pasid >= this.maxPasid, `PASID ${pasid} is beyond the directory`);
    if (this.find(pasid) !== undefined) return undefined;
    const frame = this.#ram.alloc();
    if (isErrno(frame)) return refuse(ENODEV, 'no memory for a PASID table', { pasid });
    const dir = this.directoryPfn * FRAME_WORDS + (pasid >> 6) * 2;
    pasidDirectory.table.set(this.#ram.words, dir, frame);
    pasidDirectory.p.set(this.#ram.words, dir, 1);
    return undefined;
  }

  isPresent(pasid: number): boolean {
    const at = this.find(pasid);
    return at !== undefined && pasidEntry.p.get(this.#ram.words, at) === 1;
  }

  /** Write an entry. ENODEV: no table; EBUSY: the entry is present. */
  write(pasid: number, fields: PasidEntryFields): Status<'ENODEV' | 'EBUSY'> {
    const status = this.prepare(pasid);
    if (status) return status;
    if (this.isPresent(pasid)) {
      return refuse(EBUSY, 'the PASID entry is present already', { pasid });
    }
    const at = this.find(pasid)!;
    const { words } = this.#ram;
    words.fill(0, at, at + ENTRY_WORDS);
    for (const [name, value] of Object.entries(fields)) {
      // cast: a name of the layout, and all of its fields are alike
      pasidEntry[name as 'did'].set(words, at, value);
    }
    pasidEntry.p.set(words, at, 1);
    return undefined;
  }

  get(pasid: number, field: Exclude<keyof typeof pasidEntry, '$words' | '$name'>): number {
    const at = this.find(pasid);
    return at === undefined ? 0 : pasidEntry[field].get(this.#ram.words, at);
  }

  /** Change one field of a present entry. */
  set(pasid: number, field: Exclude<keyof typeof pasidEntry, '$words' | '$name'>, value: number) {
    const at = this.find(pasid);
    if (at === undefined) throw new Bug(`PASID ${pasid} has no entry`);
    pasidEntry[field].set(this.#ram.words, at, value);
  }

  /** Drop P, flush by `flush`, then zero the entry; with `silent`, leave FPD as its only bit. */
  clear(pasid: number, flush: () => void, silent = false): void {
    const at = this.find(pasid);
    if (at === undefined) return;
    if (pasidEntry.p.get(this.#ram.words, at) === 1) {
      pasidEntry.p.set(this.#ram.words, at, 0);
      flush();
    }
    this.#ram.words.fill(0, at, at + ENTRY_WORDS);
    pasidEntry.fpd.set(this.#ram.words, at, Number(silent));
  }

  /** Free every table. The context entry must not point here any more. */
  destroy(): void {
    const words = this.#ram.words;
    const first = this.directoryPfn * FRAME_WORDS;
    for (let at = first; at < first + this.#directoryFrames * FRAME_WORDS; at += 2) {
      if (pasidDirectory.p.get(words, at) === 1) {
        this.#ram.free(pasidDirectory.table.get(words, at));
      }
    }
    this.#ram.free(this.directoryPfn, this.#directoryFrames);
  }
}
