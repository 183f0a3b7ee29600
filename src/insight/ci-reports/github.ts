/** A run for GitHub Actions: annotations at lines of source, and a summary of the job. */
import {
  checksOf,
  endText,
  isGood,
  levelOf,
  NOT_WELL,
  programText,
  seenText,
  endedWell,
  type RunCheck,
  type RunOutcome,
  type SeenLevel,
} from './run-outcome.ts';
import { SEEN_KINDS, type SeenPlace } from './seen.ts';

const COMMANDS: Readonly<Record<SeenLevel, string>> = {
  error: 'error',
  warning: 'warning',
  note: 'notice',
};
/** More of a kind GitHub does not show for a step. */
const MOST_OF_A_LEVEL = 10;

/** Lines for the log of the step: what is gravest first, no more of each than are shown. */
export function annotations(outcome: RunOutcome): string[] {
  const title = endText(outcome.end);
  const ended = endedWell(outcome.end)
    ? []
    : [command('error', { title: NOT_WELL }, `${programText(outcome)}: ${title}`)];
  const levels: readonly SeenLevel[] = ['error', 'warning', 'note'];
  return levels.flatMap((level) => {
    const of = outcome.seen.filter((seen) => levelOf(seen, outcome) === level);
    const lines = of.map((seen) =>
      command(level, { ...placed(seen.place), title: SEEN_KINDS[seen.kind] }, seenText(seen)),
    );
    return [...(level === 'error' ? ended : []), ...lines].slice(0, MOST_OF_A_LEVEL);
  });
}
function placed({ file, line }: SeenPlace = {}): Record<string, string> {
  return file === undefined ? {} : { file, line: String(line) };
}
function command(level: SeenLevel, properties: Record<string, string>, message: string): string {
  const parts = Object.entries(properties).map(([key, value]) => `${key}=${inProperty(value)}`);
  return `::${COMMANDS[level]} ${parts.join(',')}::${inMessage(message)}`;
}
function inMessage(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}
function inProperty(text: string): string {
  return inMessage(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

/** What a summary of a step may have, in bytes; GitHub takes none that is larger. */
const MOST_BYTES = 2 ** 20;
const CUT = '\n\nThe rest does not fit here.\n';

/** In Markdown. */
export function jobSummary(outcome: RunOutcome): string {
  const checks = checksOf(outcome);
  const text = [
    `### ${isGood(checks) ? '✅' : '❌'} ${code(programText(outcome))}`,
    '',
    `${escaped(endText(outcome.end))}, ${outcome.seconds.toFixed(1)} s`,
    '',
    '| check | result |',
    '| --- | --- |',
    ...checks.map((check) => `| ${check.name} | ${inCell(verdictOf(check))} |`),
    '',
    ...checks.flatMap(details),
    '',
  ].join('\n');
  return cut(text);
}
function verdictOf({ failure, skipped }: RunCheck): string {
  if (failure !== undefined) return `❌ ${failure}`;
  return skipped === undefined ? '✅' : `skipped: ${skipped}`;
}
function details({ name, seen }: RunCheck): string[] {
  if (seen.length === 0) return [];
  return [
    `<details><summary>${name}: ${seen.length}</summary>`,
    '',
    fenced(seenText(...seen)),
    '',
    '</details>',
    '',
  ];
}
/** A fence longer than any in the text. */
function fenced(text: string): string {
  const longest = Math.max(0, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = '`'.repeat(Math.max(3, longest + 1));
  return `${fence}\n${text}\n${fence}`;
}
function code(text: string): string {
  return `<code>${escaped(text)}</code>`;
}
function inCell(text: string): string {
  return escaped(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
}
function escaped(text: string): string {
  return text.replace(/[&<>`*_[\]\\]/g, (char) => `&#${char.charCodeAt(0)};`);
}
function cut(text: string): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= MOST_BYTES) return text;
  // Not within a character, and not within a fence.
  const kept = new TextDecoder().decode(bytes.subarray(0, MOST_BYTES - 64)).replace(/\uFFFD$/, '');
  return `${kept.slice(0, kept.lastIndexOf('\n<details>'))}${CUT}`;
}
