/** The page: what ran and how it ended, the views as tabs, and beside them the event that is looked at. */
import { useEffect, useState } from 'preact/hooks';
import type { ComponentType } from 'preact';
import type { RunFacts } from '../insight/report/run-facts.ts';
import type { Story } from '../insight/report/story.ts';
import { Addresses } from './addresses.tsx';
import { Details } from './details.tsx';
import { Events } from './events.tsx';
import { Findings } from './findings.tsx';
import { hashOf, placeOf, VIEWS, type PagePlace, type ViewName } from './place.ts';
import { Timeline } from './timeline.tsx';
import { Topology } from './topology.tsx';
import type { ViewProps } from './ui.ts';

const CONTENTS: Readonly<Record<ViewName, ComponentType<ViewProps>>> = {
  findings: Findings,
  addresses: Addresses,
  timeline: Timeline,
  topology: Topology,
  events: Events,
};
const TITLES: Readonly<Record<ViewName, string>> = {
  findings: 'Findings',
  addresses: 'Addresses',
  timeline: 'Timeline',
  topology: 'Topology',
  events: 'Events',
};

interface AppProps {
  readonly story: Story;
  readonly facts: RunFacts;
  /** What of the trace cannot be read, in words. */
  readonly complaint: string | undefined;
  /** Of a run that goes on, in words. */
  readonly state?: string | undefined;
}

export function App({ story, facts, complaint, state }: AppProps) {
  const [place, setPlace] = useState(() => placeOf(location.hash));
  useEffect(() => {
    const moved = (): void => setPlace(placeOf(location.hash));
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  const go = (change: Partial<PagePlace>): void => {
    const next = { ...place, ...change };
    const isTyping = change.search !== undefined;
    history[isTyping ? 'replaceState' : 'pushState'](null, '', hashOf(next));
    setPlace(next);
  };
  const props = { story, facts, place, go };
  const Content = CONTENTS[place.view];
  return (
    <>
      <header>
        <h1>{facts.title}</h1>
        <p>
          {state && <strong role="status">{state}</strong>}
          {facts.ending !== undefined && <strong>{facts.ending}. </strong>}
          {countText(story.events.length, 'event')},{' '}
          {countText(story.troubles.troubles.length, 'kind')} of trouble
        </p>
        {complaint !== undefined && <p role="alert">{complaint}</p>}
      </header>
      <Tabs {...props} />
      <main>
        <div id="view" role="tabpanel" aria-labelledby={`tab-${place.view}`}>
          <Content {...props} />
        </div>
        <Details {...props} />
      </main>
      <footer>softiommu {facts.version}</footer>
    </>
  );
}

function countText(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function Tabs({ place, go }: ViewProps) {
  const turn = (by: number): void => {
    const at = VIEWS.indexOf(place.view);
    const view = VIEWS[(at + by + VIEWS.length) % VIEWS.length]!;
    go({ view });
    document.getElementById(`tab-${view}`)?.focus();
  };
  return (
    <nav role="tablist" aria-label="Views">
      {VIEWS.map((view) => (
        <button
          key={view}
          id={`tab-${view}`}
          type="button"
          role="tab"
          aria-controls="view"
          aria-selected={view === place.view}
          tabIndex={view === place.view ? 0 : -1}
          onClick={() => go({ view })}
          onKeyDown={(event) => {
            if (event.key === 'ArrowRight') turn(1);
            if (event.key === 'ArrowLeft') turn(-1);
          }}
        >
          {TITLES[view]}
        </button>
      ))}
    </nav>
  );
}
