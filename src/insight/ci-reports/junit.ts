/** Results as a JUnit file has them: what GitLab, GitHub and Jenkins read. */

/** One result. */
export interface JunitCase {
  readonly name: string;
  /** Why it failed; undefined: it did not. */
  readonly failure?: string;
  /** Why it was passed over. */
  readonly skipped?: string;
}

/** A file with one test suite. */
export function junitText(suite: string, cases: readonly JunitCase[]): string {
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  const skipped = cases.filter(({ skipped }) => skipped !== undefined).length;
  const counts = `tests="${cases.length}" failures="${failures}" skipped="${skipped}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    `  <testsuite name="${xml(suite)}" ${counts}>`,
    ...cases.map((each) => caseText(suite, each)),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}
function caseText(suite: string, { name, failure, skipped }: JunitCase): string {
  const head = `    <testcase classname="${xml(suite)}" name="${xml(name)}"`;
  if (failure !== undefined) {
    return `${head}><failure message="${xml(failure)}">${xml(failure)}</failure></testcase>`;
  }
  if (skipped !== undefined) return `${head}><skipped message="${xml(skipped)}"/></testcase>`;
  return `${head}/>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
};
/** XML 1.0 has no other control characters than tab, LF and CR. */
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu;
function xml(text: string): string {
  return text.replace(FORBIDDEN, '\ufffd').replace(/[&<>"\n]/g, (each) => ENTITIES[each]!);
}
