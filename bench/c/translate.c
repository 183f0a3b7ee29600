/*
 * The least a translation can cost in C: a direct-mapped cache of 4096 entries in front of a bare four-level walk.
 * No device table, no permissions, no faults.
 */
#include "bench.h"

#define PAGES (1u << 18)
#define BASE 0x12340000ull
#define HITS (1u << 20)
#define HOT 2048u
#define ENTRIES 4096u
#define ARENA_FRAMES 2048
#define ADDRESS 0x000ffffffffff000ull

struct entry {
	uint64_t tag;
	uint64_t out;
};

static struct entry cache[ENTRIES];
static uint64_t *arena;
static uint32_t fresh, root;
static uint32_t *order;

static uint64_t *frame(uint64_t number)
{
	return arena + number * 512;
}

static void map_page(uint64_t pfn, uint64_t pa_pfn)
{
	uint64_t *table = frame(root);
	for (int level = 3; level > 0; level--) {
		uint64_t *entry = &table[(pfn >> (9 * level)) & 511];
		if (!*entry)
			*entry = ((uint64_t)fresh++ << 12) | 3;
		table = frame((*entry & ADDRESS) >> 12);
	}
	table[pfn & 511] = (pa_pfn << 12) | 3;
}

static uint64_t walk(uint64_t pfn)
{
	uint64_t table = root, entry = 0;
	for (int level = 3; level >= 0; level--) {
		entry = frame(table)[(pfn >> (9 * level)) & 511];
		if (!(entry & 1))
			return ~0ull;
		table = (entry & ADDRESS) >> 12;
	}
	return table;
}

static __attribute__((noinline)) uint64_t miss(uint64_t pfn)
{
	struct entry *entry = &cache[pfn & (ENTRIES - 1)];
	entry->tag = pfn;
	return entry->out = walk(pfn);
}

static inline uint64_t translate(uint64_t pfn)
{
	struct entry *entry = &cache[pfn & (ENTRIES - 1)];
	return entry->tag == pfn ? entry->out : miss(pfn);
}

static uint64_t hits(void)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < HITS; i++)
		sum += translate(BASE + (order[i & (PAGES - 1)] & (HOT - 1)));
	return sum;
}

static uint64_t misses(void)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < PAGES; i++)
		sum += translate(BASE + order[i]);
	return sum;
}

static uint64_t target(uint32_t n)
{
	return 0x100000 + 2ull * n;
}

static void hot_is_right(uint64_t sum)
{
	uint64_t expected = 0;
	for (uint32_t i = 0; i < HITS; i++)
		expected += target(order[i & (PAGES - 1)] & (HOT - 1));
	bench_check(sum == expected, "hit");
}

static void all_is_right(uint64_t sum)
{
	uint64_t expected = 0;
	for (uint32_t n = 0; n < PAGES; n++)
		expected += target(n);
	bench_check(sum == expected, "miss");
}

int main(void)
{
	arena = calloc(ARENA_FRAMES, 4096);
	order = shuffled(PAGES);
	root = fresh++;
	for (uint32_t n = 0; n < PAGES; n++)
		map_page(BASE + n, target(n));
	bench("hit", HITS, NULL, hits, hot_is_right);
	bench("hit-devices", HITS, NULL, hits, hot_is_right);
	bench("miss-legacy", PAGES, NULL, misses, all_is_right);
	bench("miss-second", PAGES, NULL, misses, all_is_right);
	bench("miss-first", PAGES, NULL, misses, all_is_right);
	return 0;
}
