/** Findings as AddressSanitizer shows its own. */
import { siteText, stackLines } from '../sites/site-text.ts';
import type { Finding } from './finding.ts';

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
      ...(site ? stackLines(site) : ['    (not known)']),
    ]),
    summary.filter(Boolean).join(' '),
  ];
}
/** What two findings have in common that are one to people. */
export function findingKey({ kind, places, details }: Finding): string {
  const stacks = places.map(({ site }) => (site ? stackLines(site) : []));
  // Without a place it is told by what happened.
  return JSON.stringify([kind, stacks.flat().length === 0 ? details : stacks]);
}
