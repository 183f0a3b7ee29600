/** Where a shadow directory is: what is not trapped finds no way up from it. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DirNode } from '../../machine/files/nodes.ts';
import { ShadowTree } from './shadow-tree.ts';
import { removeTemporaryDirectory } from './temporary-directory.ts';

const isRoot = process.getuid?.() === 0;
/** Its owner, but without a capability to pass what forbids it. */
const UNPRIVILEGED = isRoot ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all'] : [];

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'shadow-'));
});
afterEach(() => {
  fs.rmSync(directory, { recursive: true, force: true });
});

const bus: DirNode = {
  kind: 'dir',
  mode: 0o755,
  entries: () => new Map([['link', { kind: 'link', target: () => 'elsewhere' }]]).entries(),
} as unknown as DirNode;

/** What a shell that stands in a directory says. */
function said(where: string, script: string): string {
  const [command, ...args] = [...UNPRIVILEGED, 'sh', '-c', script];
  return spawnSync(command, args, { cwd: where, encoding: 'utf8' }).stdout.trim();
}

test('a directory shows what it has, under a name that tells which it is', () => {
  const tree = new ShadowTree(directory);
  const way = tree.sync('/sys/bus', bus);
  expect(fs.readdirSync(way)).toEqual(['link']);
  expect(tree.virtualPath(fs.realpathSync(way))).toBe('/sys/bus');
  expect(tree.virtualPath(directory)).toBeUndefined();
});
test('nobody without privileges gets above the tree, and all of it goes with the run', () => {
  const tree = new ShadowTree(directory);
  const way = tree.sync('/sys/bus', bus);
  const up = 'cat link ../../../../out ../../../out 2>/dev/null; cd -P ../.. && echo inside';
  fs.writeFileSync(join(directory, 'out'), 'reached');
  expect(said(way, up)).toBe('inside');
  removeTemporaryDirectory(directory);
  expect(fs.existsSync(directory)).toBe(false);
});
