/** What did not work in a run, for people: each kind once, the likely cause first. */
import { onOneLine } from '../../machine/description/wording.ts';
import { siteText } from '../sites/site-text.ts';
import { answeredText, callText } from '../views/call-text.ts';
import { eventText, signalText } from '../views/event-text.ts';
import { refusalText } from '../views/value-text.ts';
import type { TroubleJournal } from './journal.ts';
import { isFailedCall, type Trouble, type TroubleEvent } from './trouble.ts';

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
 * comes first, unless it belongs to giving up or to asking what there is.
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
  return [...journal.troubles].sort((a, b) => rankOf(a) - rankOf(b) || b.last - a.last);
}

/** Lower is likelier. */
const RANK = { gone: 0, cause: 1, idle: 2, warning: 3, cleanup: 4, question: 5 } as const;
function rankOf({ event }: Trouble): number {
  // What fails behind it fails by it.
  if (event.kind === 'life') return RANK.gone;
  if (event.kind === 'warn') return RANK.warning;
  if (event.kind !== 'leave') return RANK.cause;
  if (!isFailedCall(event)) return RANK.idle;
  const { command = '', file = '', result } = event;
  if (PROBES.has(result.name) || PROBED.test(command)) return RANK.question;
  if (result.name === 'ENOENT' && file.startsWith('/sys/')) return RANK.question;
  return CLEANUP.test(command) ? RANK.cleanup : RANK.cause;
}

function entryLines(trouble: Trouble, n: number): string[] {
  const place = trouble.site && siteText(trouble.site);
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
