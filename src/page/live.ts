/** The trace of a run that goes on: its lines as they come, and at its end what else is known of it. */
import type { RunFacts } from '../insight/report/run-facts.ts';
import type { Telling } from './source.ts';

/** What becomes of it. */
export interface LiveListener {
  /** There are more events. */
  readonly more: () => void;
  readonly ended: (facts: RunFacts) => void;
  /** The run cannot be heard any more. */
  readonly lost: () => void;
}

/** Ask the place the page comes from; its lines go to `told`. */
export function followRun(told: Telling, { more, ended, lost }: LiveListener): void {
  const source = new EventSource('events');
  source.addEventListener('message', ({ data }: MessageEvent<string>) => {
    for (const line of data.split('\n')) told.take(line);
    more();
  });
  source.addEventListener('end', ({ data }: MessageEvent<string>) => {
    source.close();
    // cast: as cli/inspect/server.ts has written it
    ended(JSON.parse(data) as RunFacts);
  });
  source.addEventListener('error', () => {
    // Asked for again, all of it would come again.
    source.close();
    lost();
  });
}
