/** Results as a JUnit file has them: what GitLab, GitHub and Jenkins read. */

import { escaped } from '../html.ts';

/** What every such file begins with. */
export const JUNIT_MARK = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- softiommu -->';

/** One result. */
export interface JunitCase {
  readonly name: string;
  /** Why it failed; undefined: it did not. */
  readonly failure?: string;
  /** Why it was passed over. */
  readonly skipped?: string;
  /** What else is known of it. */
  readonly details?: string;
  /** Where in the source it is to be looked for. */
  readonly file?: string;
  readonly line?: number;
}

/** A file with one test suite; `seconds`: how long it took. */
export function junitText(suite: string, cases: readonly JunitCase[], seconds?: number): string {
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  const skipped = cases.filter(({ skipped }) => skipped !== undefined).length;
  const time = seconds === undefined ? '' : ` time="${seconds.toFixed(3)}"`;
  const counts = `tests="${cases.length}" failures="${failures}" errors="0" skipped="${skipped}"${time}`;
  return [
    JUNIT_MARK,
    '<testsuites>',
    `  <testsuite name="${xml(suite)}" ${counts}>`,
    ...cases.map((each) => caseText(suite, each)),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}
function caseText(suite: string, each: JunitCase): string {
  const { name, failure, skipped, details, file, line } = each;
  const place = file === undefined ? '' : ` file="${xml(file)}" line="${line}"`;
  const head = `    <testcase classname="${xml(suite)}" name="${xml(name)}"${place}`;
  if (failure !== undefined) {
    const text = xml(details ?? failure);
    return `${head}><failure message="${xml(failure)}">${text}</failure></testcase>`;
  }
  const inside = [
    skipped === undefined ? '' : `<skipped message="${xml(skipped)}"/>`,
    details === undefined ? '' : `<system-out>${xml(details)}</system-out>`,
  ].join('');
  return inside === '' ? `${head}/>` : `${head}>${inside}</testcase>`;
}

/** XML 1.0 has no other control characters than tab, LF and CR. */
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu;
function xml(text: string): string {
  // In the value of an attribute a line feed by itself is a space to readers.
  return escaped(text.replace(FORBIDDEN, '\ufffd')).replaceAll('\n', '&#10;');
}
