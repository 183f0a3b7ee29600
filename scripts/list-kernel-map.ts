/**
 * docs/kernel-map.md: functions of Linux and what stands for them here, from the `@kernel` tags of doc comments.
 * `--check` fails when the page is stale.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const OUT = 'docs/kernel-map.md';

interface Row {
  readonly kernel: string;
  readonly ours: string;
  readonly file: string;
}

/** A doc comment, and the line that begins what it documents. */
const DOCUMENTED = /\/\*\*(?:(?!\*\/)[\s\S])*@kernel(?:(?!\*\/)[\s\S])*\*\/\n([^\n]*)/g;
const TAG = /@kernel ([a-z_]\w*(?:,[\s*]+[a-z_]\w*)*)/g;
const DECLARED =
  /^\s*(?:export )?(?:readonly |static |async )*(?:(?:function|class|const|interface|type|get|set) )?(#?\w+)/;

function rowsOf(file: string): Row[] {
  const text = readFileSync(join('src', file), 'utf8');
  return [...text.matchAll(DOCUMENTED)].flatMap(([comment, declaration = '']) => {
    const ours = DECLARED.exec(declaration)?.[1];
    if (ours === undefined || ours === 'import') return [];
    return [...comment.matchAll(TAG)].flatMap(([, names = '']) =>
      names.split(/,[\s*]+/).map((kernel) => ({ kernel, ours, file })),
    );
  });
}

const rows = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  .flatMap(rowsOf)
  .map((row) => ({ ...row, key: `${row.kernel} ${row.file}` }))
  .sort((a, b) => (a.key < b.key ? -1 : 1));

const page = `<!-- Written by scripts/list-kernel-map.ts. -->

# Linux → softiommu

Functions of Linux that have a counterpart: the same arguments in the same order, unless the comment there says otherwise.

| Linux | here |
| --- | --- |
${rows.map(({ kernel, ours, file }) => `| \`${kernel}\` | \`${file}:${ours}\` |`).join('\n')}
`;

if (process.argv.includes('--check')) {
  if (!existsSync(OUT) || readFileSync(OUT, 'utf8') !== page) {
    console.error(`${OUT} is stale: npx tsx scripts/list-kernel-map.ts`);
    process.exitCode = 1;
  }
} else writeFileSync(OUT, page);
