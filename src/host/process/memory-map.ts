/**
 * /proc/PID/maps as Vmas: single mappings where the kernel tells them, else all, parsed at most once a turn, for nothing
 * of the caller changes while it waits for its answer.
 *
 * An address space has its own open file of it. Of a process that is looked at for once it is what it has now.
 */
import type { MmioWindow } from '../../base/file.ts';
import { MapsFile, type MapsLine } from '../sys/map-query.ts';
import { textOf } from '../sys/procfs.ts';

/** Which registers a mapping of one of our files shows. */
export type WindowOf = (
  line: Pick<MapsLine, 'name' | 'object' | 'objectOffset'>,
) => { window: MmioWindow; offset: number } | undefined;

/** Is this memory made of huge pages? */
export type IsHuge = (line: { name: string; object: string | undefined }) => boolean;

/** Is this an object of a file system that writes pages back, as a process sees its mounts? */
export type WritesBack = (pid: number, object: string) => boolean;

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

/** An address space as it is looked up here. */
export interface MappedSpace {
  readonly maps: MapsFile;
  /** A thread that has it. */
  readonly thread: number;
}
/** Of a process by its number: whatever it has now. */
type Whose = MappedSpace | number;

/** What is known of an address space this turn. */
interface Turn {
  queries: number;
  /** Answers so far, or all mappings in order. */
  lines: MapsLine[];
  complete: boolean;
  /** Objects whose file system was asked for, and whether it writes back. */
  readonly backed: Map<string, boolean>;
}

/** What is mapped where, asked once a turn. */
export class MemoryMap {
  readonly #windowOf: WindowOf;
  readonly #isHuge: IsHuge;
  readonly #turns = new Map<Whose, Turn>();
  readonly #writesBack: WritesBack;
  constructor(windowOf: WindowOf, isHuge: IsHuge, writesBack: WritesBack) {
    this.#windowOf = windowOf;
    this.#isHuge = isHuge;
    this.#writesBack = writesBack;
  }
  /** Forget everything: programs have run since. */
  newTurn(): void {
    if (this.#turns.size > 0) this.#turns.clear();
  }
  find(space: MappedSpace, index: number): MapsLine | undefined {
    const turn = this.#turn(space);
    const known = turn.complete ? search(turn.lines, index) : turn.lines.find(covers(index));
    if (known || turn.complete) return known;
    if (turn.queries++ < MOST_QUERIES) {
      const line = space.maps.query(index);
      if (line === 'none') return undefined;
      if (line !== 'unknown') {
        const shown = this.#completed(space, line, turn);
        turn.lines.push(shown);
        return shown;
      }
    }
    this.#readAll(space, turn);
    return search(turn.lines, index);
  }
  #turn(whose: Whose): Turn {
    let turn = this.#turns.get(whose);
    if (!turn) {
      turn = { queries: 0, lines: [], complete: false, backed: new Map() };
      this.#turns.set(whose, turn);
    }
    return turn;
  }
  /** A page of an address space that shows page `objectIndex` of an object now. */
  findObject(whose: Whose, object: string, objectIndex: number): number | undefined {
    for (const line of this.mappings(whose)) {
      const at = placeIn(line, object, objectIndex);
      if (at !== undefined) return at;
    }
    return undefined;
  }
  /** All of it. */
  mappings(whose: Whose): readonly MapsLine[] {
    const turn = this.#turn(whose);
    if (!turn.complete) this.#readAll(whose, turn);
    return turn.lines;
  }
  #readAll(whose: Whose, turn: Turn): void {
    turn.lines = parseMaps(mapsText(whose)).map((line) => this.#completed(whose, line, turn));
    turn.complete = true;
  }
  #completed(whose: Whose, line: MapsLine, { backed }: Turn): MapsLine {
    const io = this.#windowOf(line);
    const huge = line.huge || this.#isHuge(line);
    const writesBack = this.#writesBack;
    const thread = typeof whose === 'number' ? whose : whose.thread;
    return {
      ...line,
      huge,
      ...(io && { io }),
      // Asked when a device is to write: few mappings are, and of those each page.
      get writeback() {
        if (line.object === undefined) return false;
        const answer = backed.get(line.object) ?? writesBack(thread, line.object);
        backed.set(line.object, answer);
        return answer;
      },
    };
  }
}

function mapsText(whose: Whose): string {
  if (typeof whose === 'number') return textOf(`/proc/${whose}/maps`);
  // The file of a thread that has ended is not read any more, only queried.
  return whose.maps.text() ?? textOf(`/proc/${whose.thread}/maps`);
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
