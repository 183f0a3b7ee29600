/** What every view is given: the story, the place, and the way to another. */
import type { Story } from '../insight/report/story.ts';
import type { RunFacts } from '../insight/report/run-facts.ts';
import type { PagePlace } from './place.ts';

export interface ViewProps {
  readonly story: Story;
  readonly facts: RunFacts;
  readonly place: PagePlace;
  /** Go where these differ; what is left out stays. */
  readonly go: (change: Partial<PagePlace>) => void;
}
