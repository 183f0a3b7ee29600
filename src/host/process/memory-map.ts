/**
 * /proc/PID/maps as Vmas: single mappings where the kernel tells them, else all, parsed at most once a turn, for nothing
 * of the caller changes while it waits for its answer.
 */
import type { MmioWindow } from '../../base/file.ts';
import * as libc from '../sys/libc.ts';
import { queryMapping, type MapsLine } from '../sys/map-query.ts';
import { textOf } from '../sys/procfs.ts';
import { O_CLOEXEC } from '../sys/numbers.ts';

/** Which registers a mapping of one of our files shows. */
export type WindowOf = (
  name: string,
  pageOffset: number,
) => { window: MmioWindow; offset: number } | undefined;

/** Is this memory made of huge pages? */
export type IsHuge = (line: { name: string; object: string | undefined }) => boolean;

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (.{4}) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+)[ \t]*(.*)$/gm;

/** The lines of /proc/PID/maps; page numbers, not addresses. */
export function parseMaps(text: string): MapsLine[] {
  const lines: MapsLine[] = [];
  for (const [, start, end, perms, offset, device, inode, name] of text.matchAll(LINE)) {
    lines.push({
      start: pageOf(start!),
      end: pageOf(end!),
      readable: perms!.startsWith('r'),
      writable: perms![1] === 'w',
      executable: perms![2] === 'x',
      shared: perms![3] === 's',
      object: inode === '0' ? undefined : `${device!}:${inode!}`,
      objectOffset: pageOf(offset!),
      huge: false,
      name: name!,
    });
  }
  return lines;
}

/** Hex address to page index, exact for all 64 bits. */
function pageOf(hex: string): number {
  return hex.length <= 3 ? 0 : Number.parseInt(hex.slice(0, -3), 16);
}

/** More questions than this in a turn: reading everything once is cheaper. */
const MOST_QUERIES = 16;

/** What is known of a process this turn. */
interface Turn {
  /** -1: asking for single mappings is not possible. */
  mapsFd: number;
  queries: number;
  /** Answers so far, or all mappings in order. */
  lines: MapsLine[];
  complete: boolean;
}

/** What is mapped where in a process, asked once a turn. */
export class MemoryMap {
  readonly #windowOf: WindowOf;
  readonly #isHuge: IsHuge;
  readonly #turns = new Map<number, Turn>();
  constructor(windowOf: WindowOf, isHuge: IsHuge) {
    this.#windowOf = windowOf;
    this.#isHuge = isHuge;
  }
  /** Forget everything: programs have run since. */
  newTurn(): void {
    if (this.#turns.size === 0) return;
    for (const { mapsFd } of this.#turns.values()) if (mapsFd >= 0) libc.close(mapsFd);
    this.#turns.clear();
  }
  find(pid: number, index: number): MapsLine | undefined {
    const turn = this.#turn(pid);
    const known = turn.complete ? search(turn.lines, index) : turn.lines.find(covers(index));
    if (known || turn.complete) return known;
    if (turn.queries++ < MOST_QUERIES && turn.mapsFd >= 0) {
      const line = queryMapping(turn.mapsFd, index);
      if (line === 'none') return undefined;
      if (line !== 'unknown') {
        const shown = this.#completed(line);
        turn.lines.push(shown);
        return shown;
      }
    }
    this.#readAll(pid, turn);
    return search(turn.lines, index);
  }
  #turn(pid: number): Turn {
    let turn = this.#turns.get(pid);
    if (!turn) {
      const mapsFd = libc.open(`/proc/${pid}/maps`, O_CLOEXEC);
      turn = { mapsFd, queries: 0, lines: [], complete: false };
      this.#turns.set(pid, turn);
    }
    return turn;
  }
  /** A page of an address space that shows page `objectIndex` of an object now. */
  findObject(pid: number, object: string, objectIndex: number): number | undefined {
    for (const line of this.mappings(pid)) {
      const at = placeIn(line, object, objectIndex);
      if (at !== undefined) return at;
    }
    return undefined;
  }
  /** All of a process. */
  mappings(pid: number): readonly MapsLine[] {
    const turn = this.#turn(pid);
    if (!turn.complete) this.#readAll(pid, turn);
    return turn.lines;
  }
  #readAll(pid: number, turn: Turn): void {
    turn.lines = parseMaps(textOf(`/proc/${pid}/maps`)).map((line) => this.#completed(line));
    turn.complete = true;
  }
  #completed(line: MapsLine): MapsLine {
    const io = this.#windowOf(line.name, line.objectOffset);
    const huge = line.huge || this.#isHuge(line);
    return { ...line, huge, ...(io && { io }) };
  }
}

function covers(index: number): (line: MapsLine) => boolean {
  return ({ start, end }) => start <= index && index < end;
}
function search(lines: readonly MapsLine[], index: number): MapsLine | undefined {
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
/** Where a shared mapping shows a page of an object. */
export function placeIn(line: MapsLine, object: string, page: number): number | undefined {
  if (!line.shared || line.object !== object) return undefined;
  const at = line.start + page - line.objectOffset;
  return at >= line.start && at < line.end ? at : undefined;
}
