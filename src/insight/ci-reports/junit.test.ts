import { expect, test } from 'vitest';
import { junitText } from './junit.ts';

test('a file has a suite with its counts, and a case for each result', () => {
  const text = junitText('a & b', [
    { name: 'well' },
    { name: '<bad>', failure: 'it "broke"\nhere\u0001' },
    { name: 'not run', skipped: 'no reason' },
  ]);
  expect(text.split('\n').map((line) => line.trim())).toEqual([
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!-- softiommu -->',
    '<testsuites>',
    '<testsuite name="a &amp; b" tests="3" failures="1" errors="0" skipped="1">',
    '<testcase classname="a &amp; b" name="well"/>',
    '<testcase classname="a &amp; b" name="&lt;bad&gt;"><failure message="it &quot;broke&quot;&#10;here\ufffd">it &quot;broke&quot;&#10;here\ufffd</failure></testcase>',
    '<testcase classname="a &amp; b" name="not run"><skipped message="no reason"/></testcase>',
    '</testsuite>',
    '</testsuites>',
    '',
  ]);
});
