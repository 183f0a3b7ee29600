import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

/** As users import it, from the sources: see `paths` of tsconfig.json. */
const alias = [
  { find: /^softiommu$/, replacement: resolve('src/index.ts') },
  { find: /^softiommu\/(\w+)$/, replacement: resolve('src/$1/index.ts') },
];

export default defineConfig({
  resolve: { alias },
  test: {
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'kernel',
          // A thread a file starts sooner than a process; nothing here changes what belongs to the process.
          pool: 'threads',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: ['test/host/**', 'src/host/**'],
          testTimeout: 60_000,
          setupFiles: ['test/record-refusals.ts', 'test/random-seed.ts'],
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'host',
          include: ['test/host/**/*.test.ts', 'src/host/**/*.test.ts'],
          testTimeout: 120_000,
          fileParallelism: false,
          globalSetup: ['test/host/build-once.ts'],
          setupFiles: ['test/record-refusals.ts', 'test/random-seed.ts'],
        },
      },
    ],
  },
});
