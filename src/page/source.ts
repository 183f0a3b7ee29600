/** Where the page has its trace from: from itself, packed, or line by line (live.ts). */
import type { RunFacts } from '../insight/report/run-facts.ts';
import { Story } from '../insight/report/story.ts';
import { lineOf } from './decode.ts';

/** What the lines of a trace have told by now. */
export class Telling {
  readonly story = new Story();
  #unread = 0;

  take(line: string): void {
    if (line !== '' && !takeLine(this.story, line)) this.#unread++;
  }
  /** What of the trace cannot be read, in words. */
  get complaint(): string | undefined {
    if (this.#unread === 0) return undefined;
    const lines = `${this.#unread} ${this.#unread === 1 ? 'line' : 'lines'}`;
    return `${lines} of the trace cannot be read: it may have been cut off.`;
  }
}

/** What the page knows besides the trace. */
export function embeddedFacts(): RunFacts {
  // cast: written by insight/report/page.ts
  return JSON.parse(textOf('facts')) as RunFacts;
}

/** The trace that the page holds: gzip in base64. */
export async function embeddedTrace(): Promise<Telling> {
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

function told(text: string): Telling {
  const all = new Telling();
  for (const line of text.split('\n')) all.take(line);
  return all;
}
/** Does the page hold its trace? Else it is of a run that goes on. */
export function holdsTrace(): boolean {
  return document.getElementById('trace') !== null;
}

function textOf(id: string): string {
  return document.getElementById(id)?.textContent ?? '';
}
