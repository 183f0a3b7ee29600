/** Texts and archives that were damaged are machines or mistakes of whoever gave them, and nothing else. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { parseDescription } from '../../machine/description/description-check.ts';
import { KNOWN } from '../machine-file.ts';
import { UserMistake } from '../user-mistake.ts';
import { configFacts } from './config-bytes.ts';
import { machineOf } from './description.ts';
import { functionsOfLspci } from './lspci-text.ts';

function outcome(text: string): 'machine' | 'mistake' {
  try {
    const { machine } = machineOf(functionsOfLspci(text, 'x'), KNOWN, 'x');
    expect(parseDescription(machine, KNOWN)).toEqual({ description: machine });
    return 'machine';
  } catch (error) {
    if (error instanceof UserMistake) return 'mistake';
    throw error;
  }
}

describe('a damaged text', () => {
  test.each(['laptop', 'server', 'sriov-nic'])('of a %s', (name) => {
    const file = new URL(`../../../test/machines/${name}.txt`, import.meta.url);
    const lines = readFileSync(file, 'utf8').split('\n');
    const line = fc.nat(lines.length - 1);
    const changes = fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant('drop' as const), at: line }),
        fc.record({ kind: fc.constant('copy' as const), at: line, to: line }),
        fc.record({ kind: fc.constant('digit' as const), at: line, digit: fc.constantFrom('0', '1', '8', '9', 'a', 'f') }),
      ),
      { minLength: 1, maxLength: 6 },
    ); // prettier-ignore
    fc.assert(
      fc.property(changes, (all) => {
        const text = [...lines];
        for (const change of all) {
          const was = text[change.at] ?? '';
          if (change.kind === 'drop') text.splice(change.at, 1);
          else if (change.kind === 'copy') text.splice(change.to, 0, was);
          else text[change.at] = was.replace(/[0-9a-f](?=[^0-9a-f]*$)/, change.digit);
        }
        expect(['machine', 'mistake']).toContain(outcome(text.join('\n')));
      }),
      { numRuns: 100 },
    );
  });
});

test('bytes of any kind are a function or none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 64, maxLength: 512 }), (bytes) => {
      const facts = configFacts(bytes);
      expect(facts === undefined).toBe((bytes[0x0e]! & 0x7f) > 1);
      expect(facts?.bars.every(({ index }) => index >= 0 && index <= 5) ?? true).toBe(true);
    }),
  );
});
