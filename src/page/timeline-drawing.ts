/** The timeline as a drawing: slices on their tracks, and the ways of the chosen event between them. */
import type { Stamped } from '../base/events.ts';
import type { Story } from '../insight/report/story.ts';
import { trackOf, type Track } from '../insight/report/tracks.ts';
import { waysOf } from '../insight/report/ways.ts';
import { momentOf } from '../insight/views/times.ts';

/** Pixels: a track, its text, the names at the left. */
export const TRACK = 30;
export const NAMES = 170;
/** Pixels: the head of an arrow. */
const HEAD = 8;

/** What is seen, in nanoseconds of the trace's clock. */
export interface Period {
  readonly from: number;
  readonly to: number;
}

/** What is drawn. */
export interface Picture {
  readonly tracks: readonly Track[];
  readonly span: Period;
}

/** What is drawn on, in pixels of the page. */
export interface Drawing {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  readonly colour: (name: string) => string;
  readonly pixelOf: (ns: number) => number;
}

/** Every slice that can be seen. `chosen`: the event that stands out. */
export function drawTracks(
  canvas: HTMLCanvasElement,
  { tracks, span, chosen }: Picture & { readonly chosen: number | undefined },
): Drawing {
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
  return { context, width, colour, pixelOf };
}

/** The ways of an event, between those that are on a track; what ends a call stands where the call began. */
export function arrowsOf(story: Story, seq: number): (readonly [Stamped, Stamped])[] {
  const shown = (each: number): Stamped | undefined => {
    const stamped = story.event(each);
    return stamped?.event.kind === 'leave' ? story.event(stamped.call ?? each) : stamped;
  };
  return waysOf(story, seq).flatMap(({ from, to }) => {
    const [a, b] = [shown(from), shown(to)];
    return a && b ? [[a, b] as const] : [];
  });
}

/** Over the tracks, each from its first event to its second. */
export function drawArrows(
  { context, width, colour, pixelOf }: Drawing,
  tracks: readonly Track[],
  arrows: readonly (readonly [Stamped, Stamped])[],
): void {
  context.save();
  context.beginPath();
  context.rect(NAMES, 0, width - NAMES, tracks.length * TRACK);
  context.clip();
  context.strokeStyle = context.fillStyle = colour('--chosen');
  context.lineWidth = 1.5;
  const rows = new Map(tracks.map(({ name }, row) => [name, row]));
  for (const ends of arrows) {
    const [from, to] = ends.map((stamped) => {
      const row = rows.get(trackOf(stamped.event) ?? '');
      return row === undefined
        ? undefined
        : { x: pixelOf(momentOf(stamped)), y: (row + 0.5) * TRACK };
    });
    if (from && to) drawArrow(context, from, to);
  }
  context.restore();
}

interface Point {
  readonly x: number;
  readonly y: number;
}

/** It leaves and arrives level, so that many from one place can be told apart. */
function drawArrow(context: CanvasRenderingContext2D, from: Point, to: Point): void {
  const bend = Math.max(6, Math.abs(to.x - from.x) / 2);
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.bezierCurveTo(from.x + bend, from.y, to.x - bend, to.y, to.x, to.y);
  context.stroke();
  context.beginPath();
  context.moveTo(to.x, to.y);
  context.lineTo(to.x - HEAD, to.y - HEAD / 2);
  context.lineTo(to.x - HEAD, to.y + HEAD / 2);
  context.fill();
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
