/** Findings as AddressSanitizer shows its own. */
import { siteText, stackLines } from '../sites/site-text.ts';
import { ALL_FINDINGS, type Finding, type FindingKind } from './finding.ts';

const RULE = '='.repeat(65);

/** The report of one finding, line by line. */
export function findingLines(finding: Finding): string[] {
  const { kind, pid, about, details, places } = finding;
  const first = places.find(({ site }) => site)?.site;
  const summary = [`SUMMARY: DMA sanitizer: ${kind} ${about}`, first && siteText(first)];
  return [
    RULE,
    `==${pid}==ERROR: DMA sanitizer: ${kind} ${about}`,
    ...details,
    ...places.flatMap(({ title, site }) => [
      title,
      ...(site ? stackLines(site.frames) : ['    (not known)']),
    ]),
    summary.filter(Boolean).join(' '),
  ];
}
/** The kinds of the reports in a text, each once. */
export function kindsIn(text: string): FindingKind[] {
  const said = [...text.matchAll(/^==\d+==ERROR: DMA sanitizer: (\S+) /gm)].map(([, kind]) => kind);
  return ALL_FINDINGS.filter((kind) => said.includes(kind));
}
/** What two findings have in common that are one to people. */
export function findingKey({ kind, places, details }: Finding): string {
  const stacks = places.map(({ site }) => (site ? stackLines(site.frames) : []));
  // Without a place it is told by what happened.
  return JSON.stringify([kind, stacks.flat().length === 0 ? details : stacks]);
}
