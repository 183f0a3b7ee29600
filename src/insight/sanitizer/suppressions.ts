/** Findings a user knows of: lines `KIND:GLOB`, as other sanitizers have them. */
import { ALL_FINDINGS, type Finding } from './finding.ts';

/** One line. */
export interface Suppression {
  readonly text: string;
  readonly kind: string;
  readonly pattern: RegExp;
  /** How often it has matched. */
  used: number;
}

/** Lines that begin with # and empty ones say nothing. A text instead: what is wrong with the first bad line. */
export function parseSuppressions(text: string): Suppression[] | string {
  const all: Suppression[] = [];
  for (const [n, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const [kind, glob] = [line.slice(0, colon), line.slice(colon + 1)];
    if (colon < 0 || glob === '') return `line ${n + 1}: '${line}' is not KIND:GLOB`;
    if (kind !== '*' && !ALL_FINDINGS.some((known) => known === kind)) {
      return `line ${n + 1}: '${kind}' is no kind of finding; there are *, ${ALL_FINDINGS.join(', ')}`;
    }
    all.push({ text: line, kind, pattern: fromGlob(glob), used: 0 });
  }
  return all;
}

/** Is it one that is known? The glob is held against functions, source files and modules of its places, and what it is about. */
export function isSuppressed(finding: Finding, all: readonly Suppression[]): boolean {
  const match = all.find(
    ({ kind, pattern }) =>
      (kind === '*' || kind === finding.kind) &&
      namesOf(finding).some((name) => pattern.test(name)),
  );
  if (match) match.used++;
  return match !== undefined;
}
function namesOf({ places, about, details }: Finding): string[] {
  const frames = places.flatMap(({ site }) => site?.frames ?? []);
  const names = frames.flatMap(({ function: name, source, module }) => [
    name,
    source?.file,
    module,
  ]);
  return [about, ...details, ...names].filter((name) => name !== undefined);
}

/** A line that suppresses this finding: by the function it is shown with. */
export function suppressionOf(finding: Finding): string {
  const frames = finding.places.flatMap(({ site }) => site?.frames ?? []);
  const own = frames.find(({ source }) => source) ?? frames[0];
  return `${finding.kind}:${own?.function ?? own?.module ?? '*'}`;
}

/** `*` is anything, `?` one character; the whole name has to match, or what follows its last slash. */
function fromGlob(glob: string): RegExp {
  const text = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^(?:.*/)?${text}$`);
}
