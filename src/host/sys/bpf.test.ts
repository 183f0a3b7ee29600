/** The assembler's own rules; what it assembles is run in seccomp/filter.test.ts. */
import { describe, expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import { FilterAssembler } from './bpf.ts';

describe('the assembler', () => {
  test('the assembler refuses a label that is not defined', () => {
    expect(() => new FilterAssembler().ifEqual(1, 'nowhere').assemble()).toThrow(Bug);
  });
  test('the assembler refuses a jump backwards and one too far', () => {
    const back = new FilterAssembler().label('start').ifEqual(1, 'start').return(0);
    expect(() => back.assemble()).toThrow(Bug);
    const far = new FilterAssembler().ifEqual(1, 'end');
    for (let n = 0; n < 256; n++) far.load(0);
    expect(() => far.label('end').return(0).assemble()).toThrow(Bug);
  });
});
