/** One event: what it says, why it was refused, what set it going, what happened inside it. */
import type { ComponentChildren } from 'preact';
import type { Stamped } from '../base/events.ts';
import { sizeText, type MappingStory } from '../insight/report/address-story.ts';
import { momentOf } from '../insight/views/times.ts';
import type { DmaStory } from '../insight/report/story.ts';
import { goneMapping } from '../insight/report/ways.ts';
import { refusalText } from '../insight/views/value-text.ts';
import { lineOf } from './lines.ts';
import type { ViewProps } from './ui.ts';

/** So many of what happened inside a call are shown. */
const MOST = 200;

export function Details(props: ViewProps) {
  const { story, place, go } = props;
  const stamped = place.seq === undefined ? undefined : story.event(place.seq);
  if (!stamped) return null;
  const { event, seq } = stamped;
  const call = stamped.call === undefined ? undefined : story.calls.get(stamped.call);
  const inside = (call?.inside ?? []).filter((each) => each !== seq);
  const dma = story.dmas.get(seq);
  return (
    <aside aria-label={`Event ${seq}`} class="details">
      <h2>
        Event {seq}{' '}
        <button type="button" onClick={() => go({ seq: undefined })}>
          Close
        </button>
      </h2>
      <p class="line">{lineOf(stamped).trim()}</p>
      <p>at {(momentOf(stamped) / 1e9).toFixed(6)} s</p>
      {'refusals' in event && event.refusals.length > 0 && (
        <Part title="Refused because">
          {event.refusals.map((refusal, n) => (
            <li key={n}>{refusalText(refusal)}</li>
          ))}
        </Part>
      )}
      {event.kind === 'fault' && (
        <Part title="In the kernel log">
          <li>
            <code>{event.text}</code>
          </li>
        </Part>
      )}
      {dma && <Way dma={dma} {...props} />}
      <Walk lines={story.walks.get(seq) ?? []} />
      <Linked title="Set going by" events={story.causesOf(stamped)} {...props} />
      <Linked
        title="In the same call"
        events={inside.slice(0, MOST).flatMap((each) => story.event(each) ?? [])}
        {...props}
      />
    </aside>
  );
}

function Walk({ lines }: { readonly lines: readonly string[] }) {
  if (lines.length === 0) return null;
  return (
    <>
      <h3>Page walk</h3>
      <pre>{lines.join('\n')}</pre>
    </>
  );
}

function Part(props: { readonly title: string; readonly children: ComponentChildren }) {
  return (
    <>
      <h3>{props.title}</h3>
      <ul>{props.children}</ul>
    </>
  );
}

function Linked(
  props: ViewProps & { readonly title: string; readonly events: readonly Stamped[] },
) {
  const { events, go, title } = props;
  if (events.length === 0) return null;
  return (
    <Part title={title}>
      {events.map((each) => (
        <li key={each.seq}>
          <button type="button" class="link" onClick={() => go({ seq: each.seq })}>
            {each.seq}
          </button>{' '}
          {lineOf(each).trim()}
        </li>
      ))}
    </Part>
  );
}

/** From the mapping a transfer went through to the fault that stopped it. */
function Way(props: ViewProps & { readonly dma: DmaStory }) {
  const { dma, story } = props;
  const { domain, mapping } = dma;
  const gone = goneMapping(dma);
  const met = mapping ?? gone;
  const events = [met?.from, dma.fault, met?.to].flatMap((seq) =>
    seq === undefined ? [] : (story.event(seq) ?? []),
  );
  const where = mapping
    ? `through ${mappingText(mapping)} of ${domain!.name}`
    : gone
      ? `${mappingText(gone)} of ${domain!.name} was unmapped before`
      : domain
        ? `nothing is mapped there in ${domain.name}`
        : 'no domain of this trace is in the way';
  return (
    <>
      <Part title="Its way">
        <li>{where}</li>
      </Part>
      <Linked title="Mapped, stopped, unmapped by" {...props} events={events} />
    </>
  );
}

function mappingText({ iova, last }: MappingStory): string {
  return `${sizeText(last - iova + 1n)} at 0x${iova.toString(16)}`;
}
