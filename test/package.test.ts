/** The package as it is shipped: what package.json names is what the build makes. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

interface Package {
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
}

it('every entry of the package is among the files that are built', () => {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as Package;
  const config = ts.readConfigFile('tsconfig.build.json', (file) => ts.sys.readFile(file));
  const built = ts.parseJsonConfigFileContent(config.config, ts.sys, '.').fileNames;
  const entries = Object.values(exports).flatMap((entry) =>
    typeof entry === 'string' ? [] : [entry.default],
  );

  const missing = entries
    .map((file) => resolve(file.replace('./dist/', 'src/').replace(/\.js$/, '.ts')))
    .filter((source) => !built.some((file) => resolve(file) === source));

  expect(entries.length).toBeGreaterThan(5);
  expect(missing).toEqual([]);
});
