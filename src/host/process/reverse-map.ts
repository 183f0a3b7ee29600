/**
 * Who else of a run holds something: one of our files, or a mapping of shared memory that nobody has a descriptor of.
 *
 * Asked at rare moments, when a process with pinned pages ends or unmaps such memory, so everything is looked up afresh.
 */
import type { PinnedRemoval } from '../../machine/memory/pin-copies.ts';
import { placeIn, type MappedSpace } from './memory-map.ts';
import type { MapsLine, Span } from '../sys/map-query.ts';
import { descriptorsOf, processIds } from '../sys/procfs.ts';
import type { TaskParts } from './task.ts';

/** From a file or a page of shared memory back to the processes that have it. */
export class ReverseMap {
  readonly #parts: Pick<TaskParts, 'machine' | 'files' | 'map' | 'objects'>;
  constructor(parts: Pick<TaskParts, 'machine' | 'files' | 'map' | 'objects'>) {
    this.#parts = parts;
  }

  /** Does another process have one of our files open? */
  isFileOpenElsewhere(pid: number): boolean {
    const { files } = this.#parts;
    for (const other of processIds().filter((one) => one !== pid)) {
      for (const { fd, link } of descriptorsOf(other)) {
        if (files.at(`/proc/${other}/fd/${fd}`, link)?.kind === 'file') return true;
      }
    }
    return false;
  }

  /**
   * Pinned pages of shared memory that go with these mappings of an address space: those nobody else maps, or, when a hole
   * is being made in the memory itself, all of them.
   */
  lastMappings(going: Going, removed: boolean): PinnedRemoval[] {
    const { machine, map, objects } = this.#parts;
    if (!removed && !objects.someMappedOnly) return [];
    const found: PinnedRemoval[] = [];
    const own = going.space();
    for (const line of own ? map.mappings(own) : []) {
      const inside = objectSpan(line, going.span);
      if (line.object === undefined || !inside) continue;
      const { object } = line;
      if (!removed && !objects.isMappedOnly(object)) continue;
      const goes = (page: number): boolean => removed || !this.#isMapped(object, page, going);
      const removal = machine.objectRemoval(object, inside, goes);
      if (removal) found.push(removal);
    }
    return found;
  }

  /** Anywhere but in that span of that address space. */
  #isMapped(object: string, page: number, { space, users, span }: Going): boolean {
    const { map } = this.#parts;
    const others = processIds().filter((pid) => !users.has(pid));
    if (others.some((pid) => map.findObject(pid, object, page) !== undefined)) return true;
    const own = space();
    return (own ? map.mappings(own) : []).some((line) => {
      const at = placeIn(line, object, page);
      return at !== undefined && (at < span.index || at >= span.index + span.count);
    });
  }
}

/** What goes: a span of an address space, which these processes have. */
export interface Going {
  readonly space: () => MappedSpace | undefined;
  readonly users: ReadonlySet<number>;
  readonly span: Span;
}

/** The part of a shared mapping's object that lies in a span of addresses. */
function objectSpan(line: MapsLine, { index, count }: Span): Span | undefined {
  const from = Math.max(line.start, index);
  const to = Math.min(line.end, index + count);
  if (!line.shared || from >= to) return undefined;
  return { index: line.objectOffset + from - line.start, count: to - from };
}
