/** The script of the page: reads what it holds, or what comes of a run that goes on, and draws it. */
import { render } from 'preact';
import type { RunFacts } from '../insight/report/run-facts.ts';
import { App } from './app.tsx';
import { followRun } from './live.ts';
import { embeddedFacts, embeddedTrace, holdsTrace, Telling } from './source.ts';

const root = document.getElementById('app')!;

function draw({ story, complaint }: Telling, facts: RunFacts, state?: string): void {
  render(<App story={story} facts={facts} complaint={complaint} state={state} />, root);
}
function begin(): void {
  root.replaceChildren();
  document.documentElement.dataset['drawn'] = 'yes';
}

/** Drawn at most once a frame, however fast events come. */
function drawLive(): void {
  const told = new Telling();
  let [facts, state] = [embeddedFacts(), 'It runs. '];
  let isDue = false;
  const redraw = (): void => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      draw(told, facts, state);
    });
  };
  begin();
  redraw();
  followRun(told, {
    more: redraw,
    ended: (now) => {
      [facts, state] = [now, ''];
      redraw();
    },
    lost: () => {
      state = 'The run cannot be heard any more: it has ended, or reads too slowly. ';
      redraw();
    },
  });
}

if (holdsTrace()) {
  const told = await embeddedTrace();
  begin();
  draw(told, embeddedFacts());
} else drawLive();
