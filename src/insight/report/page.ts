/** The report as one file of HTML that needs nothing else: it opens from a CI artefact, offline, years later. */
import { escaped } from '../html.ts';
import type { RunFacts } from './run-facts.ts';

/** What every page begins with: by it a later one knows that the file may be overwritten. */
export const PAGE_MARK = '<!doctype html>\n<!-- report of softiommu -->';

/** What the build made of src/page/. */
export interface PageParts {
  readonly script: string;
  readonly styles: string;
}

/**
 * The page. `trace`: the lines of the trace, gzip in base64. Nothing is fetched, and the policy of the page forbids it; what
 * programs named their files stands in it as data only.
 */
export function reportPage(parts: PageParts, facts: RunFacts, trace: string): string {
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'`;
  return page(parts, facts, {
    policy,
    data: `<script type="text/plain" id="trace">${trace}</script>`,
  });
}
/** The page of a run that goes on: it asks the place it comes from for its events, and nobody else for anything. */
export function livePage(parts: PageParts, facts: RunFacts): string {
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'`;
  return page(parts, facts, { policy, data: '' });
}

interface PageData {
  readonly policy: string;
  readonly data: string;
}
function page({ script, styles }: PageParts, facts: RunFacts, { policy, data }: PageData): string {
  return `${PAGE_MARK}
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escaped(facts.title)} - softiommu</title>
<style>${styles}</style>
</head>
<body>
<div id="app"><noscript>This report is drawn by a script.</noscript><p>Reading the trace…</p></div>
<script type="application/json" id="facts">${asData(facts)}</script>
${data}
<script type="module">${script.replaceAll('</script', '<\\/script')}</script>
</body>
</html>
`;
}

/** JSON that cannot end the element it stands in. */
function asData(value: object): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}
