import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'kernel',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: ['test/host/**', 'src/host/**'],
          testTimeout: 60_000,
          setupFiles: ['test/record-refusals.ts'],
        },
      },
      {
        test: {
          name: 'host',
          include: ['test/host/**/*.test.ts', 'src/host/**/*.test.ts'],
          testTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
