/**
 * Who else of a run holds something: one of our files, or a mapping of shared memory that nobody has a descriptor of.
 *
 * Asked at rare moments, when a process with pinned pages ends or unmaps such memory, so everything is looked up afresh.
 */
import { readdirSync } from 'node:fs';
import type { LeavingPages } from '../machine/leaving-pages.ts';
import * as libc from './libc.ts';
import type { MapsLine } from './memory-map.ts';
import type { TaskParts } from './processes.ts';

/** Pages by index. */
interface Span {
  readonly index: number;
  readonly count: number;
}

export class OtherHolders {
  readonly #parts: Pick<TaskParts, 'machine' | 'files' | 'map' | 'objects'>;
  constructor(parts: Pick<TaskParts, 'machine' | 'files' | 'map' | 'objects'>) {
    this.#parts = parts;
  }

  /** Does another process have one of our files open? */
  existBeside(pid: number): boolean {
    const { files } = this.#parts;
    return processIds().some(
      (other) =>
        other !== pid &&
        entries(`/proc/${other}/fd`).some((fd) => {
          const link = libc.readlink(`/proc/${other}/fd/${fd}`);
          return typeof link === 'string' && files.byLink(link)?.kind === 'file';
        }),
    );
  }

  /**
   * Pinned pages of shared memory that go with these mappings of a process: those nobody else maps, or, when a hole is
   * being made in the memory itself, all of them.
   */
  lastMappings(pid: number, span: Span, removed: boolean): LeavingPages[] {
    const { machine, map, objects } = this.#parts;
    if (!removed && !objects.someMappedOnly) return [];
    const found: LeavingPages[] = [];
    for (const line of map.mappings(pid)) {
      const inside = objectSpan(line, span);
      if (line.object === undefined || !inside) continue;
      const { object } = line;
      if (!removed && !objects.isMappedOnly(object)) continue;
      const goes = (page: number): boolean => removed || !this.#isMapped(object, page, pid, span);
      const leaving = machine.objectLeaving(object, inside, goes);
      if (leaving) found.push(leaving);
    }
    return found;
  }

  /** Anywhere but in that span of that process. */
  #isMapped(object: string, page: number, pid: number, span: Span): boolean {
    const { map } = this.#parts;
    return processIds().some((other) =>
      map.mappings(other).some((line) => {
        const at = line.start + page - line.objectOffset;
        if (!line.shared || line.object !== object || at < line.start || at >= line.end) {
          return false;
        }
        return other !== pid || at < span.index || at >= span.index + span.count;
      }),
    );
  }
}

/** The part of a shared mapping's object that lies in a span of addresses. */
function objectSpan(line: MapsLine, { index, count }: Span): Span | undefined {
  const from = Math.max(line.start, index);
  const to = Math.min(line.end, index + count);
  if (!line.shared || from >= to) return undefined;
  return { index: line.objectOffset + from - line.start, count: to - from };
}

/** Of this host, as far as we may see them. */
export function processIds(): number[] {
  return entries('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}
function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // gone, or not ours to look into
  }
}
