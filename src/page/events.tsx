/** Every event as a line, with a search: a list that draws only what is seen of it. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Stamped, TraceEvent } from '../base/events.ts';
import { lineOf } from './lines.ts';
import type { ViewProps } from './ui.ts';

const ROW = 22;
/** Rows above and below what is seen, so that scrolling shows no gaps. */
const SPARE = 12;
const KINDS = [
  'enter leave',
  'map unmap pages-lost',
  'dma',
  'fault',
  'mmio',
  'interrupt',
  'driver',
  'invalidate',
  'warn log',
  'life',
  'object-born object-gone',
  'sleep signal exit',
] as const;

/** Each kind stands in one of them, or this does not compile. */
type Words<Text> = Text extends `${infer First} ${infer Rest}` ? First | Words<Rest> : Text;
KINDS satisfies readonly [
  Exclude<TraceEvent['kind'], Words<(typeof KINDS)[number]>>,
] extends readonly [never]
  ? unknown
  : never;

/** The events that a search and a choice of kinds leave. */
function selected(story: ViewProps['story'], { search, kinds }: ViewProps['place']): Stamped[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = new Set(kinds);
  return story.events.filter(
    (stamped) =>
      (chosen.size === 0 || chosen.has(stamped.event.kind)) &&
      (words.length === 0 || hasAll(lineOf(stamped).toLowerCase(), words)),
  );
}
function hasAll(line: string, words: readonly string[]): boolean {
  return words.every((word) => line.includes(word));
}

export function Events(props: ViewProps) {
  const { story, place, go } = props;
  const shown = useMemo(
    () => selected(story, place),
    [story, story.events.length, place.search, place.kinds.join()],
  );
  return (
    <section class="events" aria-label="Events">
      <form role="search" onSubmit={(event) => event.preventDefault()}>
        <label>
          Search{' '}
          <input
            type="search"
            value={place.search}
            placeholder="0000:00:04.0 EINVAL"
            onInput={(event) => go({ search: event.currentTarget.value })}
          />
        </label>
        <fieldset>
          <legend>Kinds</legend>
          {KINDS.map((group) => (
            <KindBox key={group} group={group} {...props} />
          ))}
        </fieldset>
        <output>
          {shown.length} of {story.events.length} events
        </output>
      </form>
      <Rows shown={shown} {...props} />
    </section>
  );
}

function KindBox({ group, place, go }: ViewProps & { readonly group: string }) {
  const kinds = group.split(' ');
  const checked = kinds.some((kind) => place.kinds.includes(kind));
  const rest = place.kinds.filter((kind) => !kinds.includes(kind));
  return (
    <label>
      <input
        type="checkbox"
        checked={checked}
        onChange={() => go({ kinds: checked ? rest : [...rest, ...kinds] })}
      />
      {kinds.join('/')}
    </label>
  );
}

function Rows({ shown, place, go }: ViewProps & { readonly shown: readonly Stamped[] }) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const height = box.current?.clientHeight ?? 600;
  const at = shown.findIndex(({ seq }) => seq === place.seq);
  useEffect(() => reveal(box.current, at), [at]);
  const first = Math.max(0, Math.floor(top / ROW) - SPARE);
  const rows = shown.slice(first, Math.ceil((top + height) / ROW) + SPARE);
  const step = (by: number): void => {
    const next = shown[Math.min(shown.length - 1, Math.max(0, at + by))];
    if (next) go({ seq: next.seq });
  };
  return (
    <div
      ref={box}
      class="rows"
      role="listbox"
      tabIndex={0}
      aria-label="Events in the order they happened"
      aria-activedescendant={at < 0 ? undefined : `event-${place.seq!}`}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown={(event) => {
        const by = stepOf(event.key, Math.floor(height / ROW), shown.length);
        if (by === undefined) return;
        event.preventDefault();
        step(by);
      }}
    >
      <div style={{ height: `${shown.length * ROW}px` }}>
        <div style={{ transform: `translateY(${first * ROW}px)` }}>
          {rows.map((stamped, n) => (
            <div
              key={stamped.seq}
              id={`event-${stamped.seq}`}
              role="option"
              class={`row ${stamped.event.kind}`}
              style={{ height: `${ROW}px` }}
              aria-posinset={first + n + 1}
              aria-setsize={shown.length}
              aria-selected={stamped.seq === place.seq}
              onClick={() => go({ seq: stamped.seq })}
            >
              <span class="seq">{stamped.seq}</span> {lineOf(stamped)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}

function stepOf(key: string, page: number, all: number): number | undefined {
  const steps: Readonly<Record<string, number>> = {
    ...{ ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page },
    ...{ Home: -all, End: all },
  };
  return steps[key];
}

function reveal(box: HTMLDivElement | null, at: number): void {
  if (!box || at < 0) return;
  const top = at * ROW;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW > box.scrollTop + box.clientHeight) {
    box.scrollTop = top + ROW - box.clientHeight;
  }
}
