/** From one event to those it hangs together with: what the timeline draws as arrows and the details say as text. */
import type { MappingStory } from './address-story.ts';
import type { DmaStory, Story } from './story.ts';

/** An arrow between two events, by their `seq`. */
export interface Way {
  readonly from: number;
  readonly to: number;
}

/** So many transfers through one mapping are shown. */
const MOST = 100;

/**
 * The ways of an event: what set it going; of a mapping the transfers through it and its end; of a transfer the mapping it went
 * through, or that was gone, and the fault that stopped it; of a fault the transfer it stopped, with its ways.
 */
export function waysOf(story: Story, seq: number): Way[] {
  const stamped = story.event(seq);
  if (!stamped) return [];
  return [...causeWays(story, seq), ...lineWays(story, seq)];
}

function causeWays(story: Story, seq: number): Way[] {
  let to = seq;
  return story.causesOf(story.event(seq)!).map((cause) => {
    const way = { from: cause.seq, to };
    to = cause.seq;
    return way;
  });
}

function lineWays(story: Story, seq: number): Way[] {
  const { event } = story.event(seq)!;
  switch (event.kind) {
    case 'dma':
      return dmaWays(story.dmas.get(seq)!);
    case 'fault': {
      const stopped = story.stoppedBy(seq);
      return stopped ? dmaWays(stopped) : [];
    }
    case 'map':
    case 'unmap':
      return mappingsOf(story, seq).flatMap(mappingWays);
    default:
      return [];
  }
}

function dmaWays(dma: DmaStory): Way[] {
  const { seq, mapping, fault } = dma;
  const gone = goneMapping(dma);
  const ways: Way[] = [];
  if (mapping) ways.push({ from: mapping.from, to: seq });
  if (gone) ways.push({ from: gone.from, to: gone.to }, { from: gone.to, to: seq });
  if (fault !== undefined) ways.push({ from: seq, to: fault });
  return ways;
}
function mappingWays({ from, to, dmas }: MappingStory): Way[] {
  const ways = dmas.slice(0, MOST).map((seq) => ({ from, to: seq }));
  return to === undefined ? ways : [...ways, { from, to }];
}
function mappingsOf(story: Story, seq: number): MappingStory[] {
  return [...story.domains.values()].flatMap(({ addresses }) =>
    addresses.mappings.filter(({ from, to }) => from === seq || to === seq),
  );
}

/** The last mapping of an address at which a transfer found nothing: it was unmapped too early. Undefined: there was none. */
export function goneMapping({ seq, domain, mapping, iova }: DmaStory): GoneMapping | undefined {
  if (mapping) return undefined;
  // cast: what is selected has an end
  return domain?.addresses.mappings.findLast(
    (each) => each.iova <= iova && iova <= each.last && each.to !== undefined && each.to < seq,
  ) as GoneMapping | undefined;
}
/** A mapping that has ended. */
type GoneMapping = MappingStory & { readonly to: number };
