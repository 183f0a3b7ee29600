/** Who did what when: a track for each process, device and unit, on a canvas, for there may be hundreds of thousands. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { sliceAt, tracksOf, type Slice } from '../insight/report/tracks.ts';
import { momentOf } from '../insight/views/times.ts';
import { lineOf } from './lines.ts';
import {
  arrowsOf,
  drawArrows,
  drawTracks,
  NAMES,
  TRACK,
  type Picture,
  type Period,
} from './timeline-drawing.ts';
import type { ViewProps } from './ui.ts';

/** Pixels beside a slice of no length where it is still meant. */
const NEAR = 4;
const CLOSER = 0.5;

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
  const [zoomed, zoom] = useState<Period>();
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

function Tools({ moves, span }: { readonly moves: Moves; readonly span: Period }) {
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
    const draw = (): void => {
      const drawing = drawTracks(canvas.current!, { ...picture, chosen: place.seq });
      if (place.seq !== undefined) drawArrows(drawing, picture.tracks, arrowsOf(story, place.seq));
    };
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

function wholeSpan(events: ViewProps['story']['events']): Period {
  const [first, last] = [events[0], events.at(-1)];
  const from = first ? momentOf(first) : 0;
  return { from, to: Math.max(from + 1000, last ? momentOf(last) : 0) };
}

function momentAt(canvas: HTMLCanvasElement, x: number, { from, to }: Period): number {
  const width = Math.max(1, canvas.clientWidth - NAMES);
  return from + ((x - NAMES) / width) * (to - from);
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

function lengthText(ns: number): string {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(3)} s`;
  if (ns >= 1e6) return `${(ns / 1e6).toFixed(3)} ms`;
  return `${(ns / 1e3).toFixed(3)} us`;
}
