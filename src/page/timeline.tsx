/** Who did what when: a track for each process, device and unit, on a canvas, for there may be hundreds of thousands. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { sliceAt, tracksOf, type Slice, type Track } from '../insight/report/tracks.ts';
import { momentOf } from '../insight/views/times.ts';
import { lineOf } from './lines.ts';
import type { ViewProps } from './ui.ts';

/** Pixels: a track, its text, the names at the left. */
const TRACK = 30;
const NAMES = 170;
/** Pixels beside a slice of no length where it is still meant. */
const NEAR = 4;
const CLOSER = 0.5;

/** What is seen, in nanoseconds of the trace's clock. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** Ways to another span. */
interface Moves {
  /** By that factor, around a moment: the middle where none is given. */
  scale(by: number, around?: number): void;
  /** By so much of what is seen. */
  move(by: number): void;
  all(): void;
}

export function Timeline(props: ViewProps) {
  const { story } = props;
  const tracks = useMemo(() => tracksOf(story), [story, story.events.length]);
  const whole = useMemo(() => wholeSpan(story.events), [story, story.events.length]);
  const [zoomed, zoom] = useState<Span>();
  const span = zoomed ?? whole;
  const { from, to } = span;
  const moves: Moves = {
    scale: (by, around = (from + to) / 2) =>
      zoom({ from: around - (around - from) * by, to: around + (to - around) * by }),
    move: (by) => zoom({ from: from + (to - from) * by, to: to + (to - from) * by }),
    all: () => zoom(undefined),
  };
  return (
    <section aria-label="Timeline">
      <Tools moves={moves} span={span} />
      <Canvas {...props} moves={moves} picture={{ tracks, span }} />
    </section>
  );
}

function Tools({ moves, span }: { readonly moves: Moves; readonly span: Span }) {
  const buttons: readonly (readonly [string, () => void])[] = [
    ['Closer', () => moves.scale(CLOSER)],
    ['Farther', () => moves.scale(1 / CLOSER)],
    ['Earlier', () => moves.move(-0.5)],
    ['Later', () => moves.move(0.5)],
    ['All', () => moves.all()],
  ];
  return (
    <p class="tools">
      {buttons.map(([name, act]) => (
        <button key={name} type="button" onClick={act}>
          {name}
        </button>
      ))}
      <span>
        {lengthText(span.to - span.from)} from {(span.from / 1e9).toFixed(6)} s
      </span>
    </p>
  );
}

type CanvasProps = ViewProps & { readonly moves: Moves; readonly picture: Picture };

function Canvas({ story, place, go, moves, picture }: CanvasProps) {
  const { tracks, span } = picture;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [hint, setHint] = useState('');
  useEffect(() => {
    const draw = (): void => drawTracks(canvas.current!, { ...picture, chosen: place.seq });
    draw();
    addEventListener('resize', draw);
    return () => removeEventListener('resize', draw);
  });
  const keys: Readonly<Record<string, () => void>> = {
    '+': () => moves.scale(CLOSER),
    '=': () => moves.scale(CLOSER),
    '-': () => moves.scale(1 / CLOSER),
    ArrowLeft: () => moves.move(-0.1),
    ArrowRight: () => moves.move(0.1),
    '0': () => moves.all(),
  };
  const names = tracks.map(({ name }) => name).join(', ');
  return (
    <>
      <canvas
        ref={canvas}
        tabIndex={0}
        role="img"
        aria-label={`${tracks.length} tracks: ${names}. The view Events lists the same as text.`}
        style={{ height: `${Math.max(1, tracks.length) * TRACK}px` }}
        onKeyDown={(event) => {
          const act = keys[event.key];
          if (!act) return;
          event.preventDefault();
          act();
        }}
        onWheel={(event) => {
          event.preventDefault();
          const around = momentAt(canvas.current!, event.offsetX, span);
          moves.scale(event.deltaY < 0 ? 0.8 : 1.25, around);
        }}
        onMouseMove={(event) => {
          const slice = sliceUnder(canvas.current!, event, picture);
          setHint(slice ? lineOf(story.event(slice.seq)!).trim() : '');
        }}
        onClick={(event) => {
          const slice = sliceUnder(canvas.current!, event, picture);
          if (slice) go({ seq: slice.seq });
        }}
      />
      <p class="hint" aria-hidden="true">
        {hint || 'Click what is to be seen closer; the wheel or + and - zoom, arrows move.'}
      </p>
    </>
  );
}

function wholeSpan(events: ViewProps['story']['events']): Span {
  const [first, last] = [events[0], events.at(-1)];
  const from = first ? momentOf(first) : 0;
  return { from, to: Math.max(from + 1000, last ? momentOf(last) : 0) };
}

function momentAt(canvas: HTMLCanvasElement, x: number, { from, to }: Span): number {
  const width = Math.max(1, canvas.clientWidth - NAMES);
  return from + ((x - NAMES) / width) * (to - from);
}

interface Picture {
  readonly tracks: readonly Track[];
  readonly span: Span;
}

function sliceUnder(
  canvas: HTMLCanvasElement,
  { offsetX, offsetY }: MouseEvent,
  { tracks, span }: Picture,
): Slice | undefined {
  const track = tracks[Math.floor(offsetY / TRACK)];
  if (!track || offsetX < NAMES) return undefined;
  const perPixel = (span.to - span.from) / Math.max(1, canvas.clientWidth - NAMES);
  return sliceAt(track, momentAt(canvas, offsetX, span), NEAR * perPixel);
}

function drawTracks(
  canvas: HTMLCanvasElement,
  { tracks, span, chosen }: Picture & { readonly chosen: number | undefined },
): void {
  const sharp = devicePixelRatio;
  const width = canvas.clientWidth;
  canvas.width = width * sharp;
  canvas.height = tracks.length * TRACK * sharp;
  const context = canvas.getContext('2d')!;
  context.scale(sharp, sharp);
  context.font = '12px system-ui, sans-serif';
  const colour = coloursOf(canvas);
  const pixelOf = (ns: number): number =>
    NAMES + ((ns - span.from) / (span.to - span.from)) * (width - NAMES);
  tracks.forEach(({ name, slices }, row) => {
    const top = row * TRACK;
    context.fillStyle = colour('--ink');
    context.fillText(name, 4, top + TRACK / 2 + 4, NAMES - 12);
    context.fillStyle = colour('--line');
    context.fillRect(NAMES, top + TRACK - 1, width - NAMES, 1);
    let drawnTo = -1;
    for (const { begin, end, isBad, kind, seq } of slices) {
      if (end < span.from) continue;
      if (begin > span.to) break;
      const left = Math.max(NAMES, pixelOf(begin));
      const right = Math.min(width, Math.max(left + 2, pixelOf(end)));
      if (right <= drawnTo && !isBad && seq !== chosen) continue; // nothing of it would be seen
      drawnTo = Math.max(drawnTo, right);
      context.fillStyle = colour(isBad ? '--bad' : seq === chosen ? '--chosen' : `--${kind}`);
      const high = seq === chosen ? 2 : 6;
      context.fillRect(left, top + high, right - left, TRACK - 2 * high);
    }
  });
}

function coloursOf(canvas: HTMLCanvasElement): (name: string) => string {
  // Of a custom property alone the text is known, not the colour it is in the reader's scheme.
  const style = getComputedStyle(canvas);
  const known = new Map<string, string>();
  return (name) => {
    let value = known.get(name);
    if (value === undefined) {
      canvas.style.color = `var(${name}, var(--ink))`;
      value = style.color;
      known.set(name, value);
    }
    return value;
  };
}

function lengthText(ns: number): string {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(3)} s`;
  if (ns >= 1e6) return `${(ns / 1e6).toFixed(3)} ms`;
  return `${(ns / 1e3).toFixed(3)} us`;
}
