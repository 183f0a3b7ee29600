/** What went wrong, each kind once, the likely cause first. */
import { ranked, reasonsOf, titleOf } from '../insight/explain/report.ts';
import type { ViewProps } from './ui.ts';

export function Findings({ facts, story, go }: ViewProps) {
  const troubles = ranked(story.troubles);
  return (
    <section aria-label="Findings">
      {troubles.length === 0 && <p>Nothing went wrong that the trace knows of.</p>}
      <ol class="findings">
        {troubles.map((trouble) => (
          <li key={trouble.first}>
            <button
              type="button"
              class="link"
              onClick={() => go({ seq: trouble.first, view: 'events' })}
            >
              {titleOf(trouble)}
            </button>
            <ul>
              {reasonsOf(trouble).map((reason) => (
                <li key={reason}>{reason}</li>
              ))}
            </ul>
          </li>
        ))}
      </ol>
      {story.troubles.more > 0 && <p>And {story.troubles.more} more in yet other ways.</p>}
      {facts.explanation && facts.explanation.length > 0 && (
        <>
          <h2>What softiommu said at the end</h2>
          <pre>{facts.explanation.join('\n')}</pre>
        </>
      )}
    </section>
  );
}
