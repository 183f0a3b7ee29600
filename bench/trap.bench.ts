/**
 * Trapped calls of a real program under softiommu: an ioctl that reads and writes a struct, and a load of a mapped
 * register. bench/c/trap.c is both the program and, for the ioctl and the load, a supervisor in C that does the same.
 */
import type { Benchmark } from './harness.ts';
import { figuresUnderRun } from './under-run.ts';

const figure = figuresUnderRun(['--device', 'dma-echo,bdf=0000:00:05.0'], ['trap', 'client']);

const none = { ops: 1, run: () => 0 };

export const benchmarks: Benchmark[] = [
  {
    ...none,
    id: 'ioctl',
    title: 'trapped ioctl: read and write a struct',
    aim: 1.3,
    figure: () => figure('ioctl'),
  },
  {
    ...none,
    id: 'ioctls-25k',
    title: '25 000 trapped ioctls',
    aimNs: 0.5e9,
    figure: () => 25_000 * figure('ioctl'),
  },
  {
    ...none,
    id: 'bar-load',
    title: 'load of a mapped register',
    aim: 1.5,
    figure: () => figure('bar-load'),
  },
  {
    ...none,
    id: 'ioctl-mapped',
    title: 'trapped ioctl of a program with a mapped BAR',
    figure: () => figure('ioctl-mapped'),
  },
  {
    ...none,
    id: 'bar-pread',
    title: 'pread of the same register',
    figure: () => figure('bar-pread'),
  },
  {
    ...none,
    id: 'shadow-load',
    title: 'load of a register that is memory',
    aimNs: 100,
    figure: () => figure('shadow-load'),
  },
];
