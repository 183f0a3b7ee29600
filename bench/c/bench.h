/* Timing for the C baselines: each result is a line "ID NANOSECONDS", the median of the rounds. */
#ifndef BENCH_H
#define BENCH_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef BENCH_ROUNDS
#define BENCH_ROUNDS 15
#endif
#ifndef BENCH_WARM_UP
#define BENCH_WARM_UP 3
#endif

static inline double bench_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* setup() and verify() are not timed; run() returns a value so that the work is kept. */
static inline void bench(const char *id, long ops, void (*setup)(void), uint64_t (*run)(void),
		  void (*verify)(uint64_t))
{
	double times[BENCH_ROUNDS];
	for (int round = -BENCH_WARM_UP; round < BENCH_ROUNDS; round++) {
		if (setup)
			setup();
		double start = bench_now();
		uint64_t result = run();
		double ns = (bench_now() - start) / ops;
		if (verify)
			verify(result);
		if (round >= 0)
			times[round] = ns;
	}
	qsort(times, BENCH_ROUNDS, sizeof(times[0]), bench_compare);
	printf("%s %.3f\n", id, times[BENCH_ROUNDS / 2]);
	fflush(stdout);
}

static void bench_check(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "wrong result: %s\n", what);
		exit(1);
	}
}

/* A repeatable shuffle of 0 ... count-1: the same order as shuffled() of bench/harness.ts. */
static inline uint32_t *shuffled(uint32_t count)
{
	uint32_t *order = malloc(count * sizeof(*order)), seed = 12345;
	for (uint32_t n = 0; n < count; n++)
		order[n] = n;
	for (uint32_t n = count - 1; n > 0; n--) {
		seed = seed * 1664525u + 1013904223u;
		uint32_t other = seed % (n + 1), kept = order[n];
		order[n] = order[other];
		order[other] = kept;
	}
	return order;
}
#endif
