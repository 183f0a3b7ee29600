/**
 * /proc/PID/maps as Vmas. Parsed at most once a turn: nothing of the caller changes while it waits for its answer.
 */
import { readFileSync } from 'node:fs';
import type { MmioWindow } from '../base/file.ts';
import type { Vma } from '../machine/process.ts';

/** Which registers a mapping of one of our files shows. */
export type WindowOf = (
  name: string,
  pageOffset: number,
) => { window: MmioWindow; offset: number } | undefined;

export interface MapsLine extends Vma {
  /** The pathname column: '[heap]', '/memfd:x (deleted)', ''. */
  readonly name: string;
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (.{4}) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+)[ \t]*(.*)$/gm;

export function parseMaps(text: string): MapsLine[] {
  const lines: MapsLine[] = [];
  for (const [, start, end, perms, offset, device, inode, name] of text.matchAll(LINE)) {
    lines.push({
      start: pageOf(start!),
      end: pageOf(end!),
      readable: perms!.startsWith('r'),
      writable: perms![1] === 'w',
      shared: perms![3] === 's',
      object: inode === '0' ? undefined : `${device!}:${inode!}`,
      objectOffset: pageOf(offset!),
      huge: name!.startsWith('/anon_hugepage'),
      name: name!,
    });
  }
  return lines;
}

/** Hex address to page index, exact for all 64 bits. */
function pageOf(hex: string): number {
  return hex.length <= 3 ? 0 : Number.parseInt(hex.slice(0, -3), 16);
}

export class MemoryMap {
  readonly #windowOf: WindowOf;
  readonly #turns = new Map<number, MapsLine[]>();
  constructor(windowOf: WindowOf) {
    this.#windowOf = windowOf;
  }
  /** Forget everything: programs have run since. */
  newTurn(): void {
    if (this.#turns.size > 0) this.#turns.clear();
  }
  find(pid: number, index: number): Vma | undefined {
    const lines = this.#lines(pid);
    let low = 0;
    let high = lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (lines[middle]!.end <= index) low = middle + 1;
      else high = middle;
    }
    const found = lines[low];
    return found && found.start <= index ? found : undefined;
  }
  #lines(pid: number): MapsLine[] {
    let lines = this.#turns.get(pid);
    if (!lines) {
      lines = this.#read(pid);
      this.#turns.set(pid, lines);
    }
    return lines;
  }
  #read(pid: number): MapsLine[] {
    let text: string;
    try {
      text = readFileSync(`/proc/${pid}/maps`, 'latin1');
    } catch {
      return []; // the process is gone
    }
    return parseMaps(text).map((line) => {
      const io = this.#windowOf(line.name, line.objectOffset);
      return io ? { ...line, io } : line;
    });
  }
}
