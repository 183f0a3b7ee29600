/**
 * DMA of a device under `run`: copies in a program's memory. bench/c/dma.c is both the program and, in C, what the same copies
 * cost without a device: process_vm_readv(2) and process_vm_writev(2) for private memory, memcpy(3) for shared.
 */
import type { Benchmark } from './harness.ts';
import { figuresUnderRun } from './under-run.ts';

const MACHINE = '--nodefaults --iommu intel --device ioat,bdf=0000:00:04.0,xfercap=20'.split(' ');
const figure = figuresUnderRun(MACHINE, ['dma', 'client']);

function row(id: string, what: string, aims: Pick<Benchmark, 'aim' | 'aimNs'> = {}): Benchmark {
  return {
    ...{ id: `dma-${id}`, title: `DMA, copy of ${what}`, ops: 1, run: () => 0, ...aims },
    figure: () => figure(`dma-${id}`),
  };
}

export const benchmarks: Benchmark[] = [
  row('private', '4 KiB at random, private memory', { aim: 2 }),
  row('private-large', '1 MiB, private memory'),
  // Two transfers.
  row('shared', '4 KiB at random, shared memory', { aimNs: 6000 }),
  row('shared-large', '1 MiB, shared memory'),
];
