/** What did not work in a run, for people: each kind once, the likely cause first. */
import { onOneLine } from '../../machine/description/wording.ts';
import { siteAndCallerText } from '../sites/site-text.ts';
import { answeredText, callText } from '../views/call-text.ts';
import { eventText, signalText } from '../views/event-text.ts';
import { refusalText } from '../views/value-text.ts';
import type { TroubleJournal } from './journal.ts';
import {
  decisiveRefusal,
  isFailedCall,
  type FailedCall,
  type Trouble,
  type TroubleEvent,
} from './trouble.ts';

/** Kinds that are shown; how many more there are is said. */
const MAX_SHOWN = 10;

/** Calls of a program that gives up: they fail because of what went wrong before. */
const CLEANUP =
  /^(IOMMU_IOAS_UNMAP|IOMMU_DESTROY|VFIO_IOMMU_UNMAP_DMA|VFIO_GROUP_UNSET_CONTAINER|VFIO_DEVICE_DETACH_IOMMUFD_PT|VFIO_DEVICE_RESET)$/;
/** Answers that programs ask for to learn what there is. */
const PROBES: ReadonlySet<string> = new Set(['EAGAIN', 'EINTR', 'ENOTTY', 'EOPNOTSUPP']);
const PROBED =
  /^(VFIO_CHECK_EXTENSION|VFIO_DEVICE_FEATURE|VFIO_DEVICE_GET_REGION_INFO|VFIO_DEVICE_GET_IRQ_INFO)$/;

/**
 * The report, line by line; none when everything worked. A program ends with what it could not survive: the newest trouble
 * comes first, unless it belongs to giving up or to asking what there is, or fails because another call has failed.
 */
export function explanation(journal: TroubleJournal): string[] {
  const all = ranked(journal);
  const shown = all.slice(0, MAX_SHOWN);
  const lines = shown.flatMap((trouble, n) => entryLines(trouble, n + 1));
  const hidden = all.length - shown.length;
  if (hidden > 0) lines.push(`and ${hidden} other kinds of trouble (--trace shows all)`);
  if (journal.more > 0) lines.push(`and ${journal.more} more in yet other ways`);
  if (all.length > 0 && journal.backends.length > 0) {
    lines.push(`for DMA the program used ${journal.backends.join(', ')}`);
  }
  return lines.map(onOneLine);
}

/** What went wrong, the likely cause first. */
export function ranked(journal: TroubleJournal): Trouble[] {
  const all = journal.troubles;
  const ranks = new Map(all.map((trouble) => [trouble, rankOf(trouble, all)]));
  return [...all].sort((a, b) => ranks.get(a)! - ranks.get(b)! || b.last - a.last);
}

/** Rules that are broken for want of a call, which has failed before. */
const FOLLOWS: Readonly<Record<string, string>> = {
  'the container holds no group': 'VFIO_GROUP_SET_CONTAINER',
  'the group has no container': 'VFIO_GROUP_SET_CONTAINER',
  'the container has no IOMMU type yet': 'VFIO_SET_IOMMU',
};
/** Does it fail because another one has? */
function isConsequence({ event, first }: Trouble, all: readonly Trouble[]): boolean {
  const rule = isFailedCall(event) ? decisiveRefusal(event)?.rule : undefined;
  const wanted = rule === undefined ? undefined : FOLLOWS[rule];
  if (wanted === undefined) return false;
  return all.some(
    (other) => other.first < first && isFailedCall(other.event) && other.event.command === wanted,
  );
}

/** Lower is likelier. */
const RANK = {
  ...{ gone: 0, cause: 1, consequence: 2, idle: 3 },
  ...{ warning: 4, cleanup: 5, question: 6 },
} as const;
function rankOf(trouble: Trouble, all: readonly Trouble[]): number {
  const { event } = trouble;
  // What fails behind it fails by it.
  if (event.kind === 'life') return RANK.gone;
  if (event.kind === 'warn') return RANK.warning;
  if (event.kind !== 'leave') return RANK.cause;
  if (!isFailedCall(event)) return RANK.idle;
  if (isQuestion(event)) return RANK.question;
  if (CLEANUP.test(event.command ?? '')) return RANK.cleanup;
  return isConsequence(trouble, all) ? RANK.consequence : RANK.cause;
}
function isQuestion({ command = '', file = '', result }: FailedCall): boolean {
  if (PROBES.has(result.name) || PROBED.test(command)) return true;
  return result.name === 'ENOENT' && file.startsWith('/sys/');
}

function entryLines(trouble: Trouble, n: number): string[] {
  const place = trouble.site && siteAndCallerText(trouble.site);
  return [
    `${String(n).padStart(3)}. ${titleOf(trouble)}`,
    ...(place === undefined ? [] : [`     ${place}`]),
    ...reasonsOf(trouble).map((reason) => `     ${reason}`),
  ];
}
/** What happened, and how often. */
export function titleOf({ event, count }: Trouble): string {
  const times = count > 1 ? `, ${count} times` : '';
  return `${headOf(event)}${times}`;
}
/** Without the reasons, which follow, and without how often. */
export function headOf(event: TroubleEvent): string {
  if (event.kind === 'leave')
    return `${answeredText(event)}${isFailedCall(event) ? '' : ', and did nothing'}`;
  if (event.kind === 'sleep') return `${callText(event)} waits, and has not been answered`;
  if (event.kind === 'life') return `${event.who.id} was pulled out`;
  return (event.kind === 'signal' ? signalText(event) : eventText(event)).trim();
}
/** Why, each reason once: what is refused inside is often refused again for the same reason. */
export function reasonsOf({ event, notes }: Trouble): string[] {
  return [...new Set([...rulesOf(event), ...notes])];
}
/** The rules that were broken: the one that decided, then those met on the way to it. */
function rulesOf(event: TroubleEvent): string[] {
  if (event.kind === 'leave') {
    return isFailedCall(event)
      ? event.refusals.map(refusalText).reverse()
      : event.remarks.map(refusalText);
  }
  if (event.kind === 'sleep' || event.kind === 'signal')
    return event.why ? [refusalText(event.why)] : [];
  return event.kind === 'dma' && event.refusal ? [refusalText(event.refusal)] : [];
}
