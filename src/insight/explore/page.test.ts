/** The page of an exploration: what stands on it, and that nothing a program is called can become part of it. */
import { expect, test } from 'vitest';
import { explorationPage } from './page.ts';

const PAGE = explorationPage({
  program: './<img src=x>',
  summary: '4 calls, 2 failures tried: 1 finding',
  findings: [{ text: 'crash: "it" ends, 3 times (known)', command: 'softiommu run -- a&b' }],
  trials: [{ failure: 'inject=openat:error=EIO', finding: 'crash' }, { failure: 'device=x:drop' }],
});

test('has each finding with the command that repeats it, and every failure', () => {
  expect(PAGE).toContain(
    '<li>crash: &quot;it&quot; ends, 3 times (known)<code>softiommu run -- a&amp;b</code></li>',
  );
  expect(PAGE).toContain('<code>inject=openat:error=EIO</code></td><td>crash</td>');
  expect(PAGE).toContain('<code>device=x:drop</code></td><td>survived</td>');
});
test('has no tag but its own, and fetches nothing', () => {
  expect(PAGE).toContain('What ./&lt;img src=x&gt; survives');
  expect(PAGE).not.toMatch(/<(?:img|script|link|iframe)\b|https?:/);
  expect(PAGE).toContain("default-src 'none'");
});
test('says that nothing was found', () => {
  const page = explorationPage({ program: 'x', summary: '', findings: [], trials: [] });
  expect(page).toContain('<p>None.</p>');
});
