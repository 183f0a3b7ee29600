/** Where the page has its trace from: from itself, packed. */
import type { RunFacts } from '../insight/report/run-facts.ts';
import { Story } from '../insight/report/story.ts';
import { lineOf } from './decode.ts';

/** What is drawn. */
export interface Told {
  readonly story: Story;
  /** What of the trace cannot be read, in words. */
  readonly complaint: string | undefined;
}

/** What the page knows besides the trace. */
export function embeddedFacts(): RunFacts {
  // cast: written by insight/report/page.ts
  return JSON.parse(textOf('facts')) as RunFacts;
}

/** The trace that the page holds: gzip in base64. */
export async function embeddedTrace(): Promise<Told> {
  const packed = Uint8Array.from(atob(textOf('trace')), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return told(await new Response(stream).text());
}

/** False: it cannot be read. */
function takeLine(story: Story, line: string): boolean {
  const said = lineOf(line);
  if (said === undefined) return false;
  if ('event' in said) story.take(said);
  else if ('walk' in said) story.walks.set(said.walk.seq, said.walk.lines);
  return true;
}

function told(text: string): Told {
  const story = new Story();
  let unread = 0;
  for (const line of text.split('\n')) {
    if (line !== '' && !takeLine(story, line)) unread++;
  }
  const lines = `${unread} ${unread === 1 ? 'line' : 'lines'}`;
  const complaint =
    unread === 0 ? undefined : `${lines} of the trace cannot be read: it may have been cut off.`;
  return { story, complaint };
}

function textOf(id: string): string {
  return document.getElementById(id)?.textContent ?? '';
}
