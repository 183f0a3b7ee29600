/** What an exploration found, as one file of HTML that needs nothing else, not even a script. */
import { escaped } from '../html.ts';

/** What every such page begins with: by it a later one knows that the file may be overwritten. */
export const EXPLORATION_MARK = '<!doctype html>\n<!-- exploration of softiommu -->';

/** What stands on it. */
export interface ExplorationFacts {
  /** The program, as it was called. */
  readonly program: string;
  /** '4 calls, 7 failures tried: 1 finding' */
  readonly summary: string;
  readonly findings: readonly {
    readonly text: string;
    /** What repeats it. */
    readonly command: string;
  }[];
  /** Everything that was tried, with the title of what it led to. */
  readonly trials: readonly { readonly failure: string; readonly finding?: string }[];
}

const STYLES = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code { font-family: ui-monospace, monospace; font-size: 0.875em; overflow-wrap: anywhere; }
li { margin: 1rem 0; }
li code { display: block; padding: 0.5rem; background: color-mix(in srgb, currentColor 8%, transparent); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 1rem 0.25rem 0; }
td { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
`;

/** The page. Nothing is fetched, and its policy forbids it. */
export function explorationPage({ program, summary, findings, trials }: ExplorationFacts): string {
  const heading = `What ${program} survives`;
  return `${EXPLORATION_MARK}
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(heading)} - softiommu</title>
<style>${STYLES}</style>
</head>
<body>
<h1>${escaped(heading)}</h1>
<p>${escaped(summary)}</p>
<h2>Findings</h2>
${findings.length === 0 ? '<p>None.</p>' : `<ol>\n${findings.map(findingItem).join('\n')}\n</ol>`}
<h2>Failures tried</h2>
<table>
<thead><tr><th scope="col">Failure</th><th scope="col">What came of it</th></tr></thead>
<tbody>
${trials.map(trialRow).join('\n')}
</tbody>
</table>
</body>
</html>
`;
}
function findingItem({ text, command }: ExplorationFacts['findings'][number]): string {
  return `<li>${escaped(text)}<code>${escaped(command)}</code></li>`;
}
function trialRow({ failure, finding }: ExplorationFacts['trials'][number]): string {
  return `<tr><td><code>${escaped(failure)}</code></td><td>${escaped(finding ?? 'survived')}</td></tr>`;
}
