/*
 * A page table as tight as C makes it: VT-d second-stage entries, four levels, 4 KiB leaves, tables in one arena.
 * No checks but "is the entry free": the lower bound that src/pt is compared with.
 */
#include "bench.h"

#define PAGES (1u << 18) /* 1 GiB */
#define BASE 0x12340000ull
#define ARENA_FRAMES 2048
#define READ_WRITE 3ull
#define PAGE_SIZE_BIT 0x80ull
#define ADDRESS 0x000ffffffffff000ull

static uint64_t *arena;
static uint32_t fresh, root;
static uint32_t *order;
static uint64_t gather_start, gather_end;

static uint64_t *frame(uint64_t number)
{
	return arena + number * 512;
}

static uint32_t new_table(void)
{
	uint32_t number = fresh++;
	memset(frame(number), 0, 4096);
	return number;
}

/* The level-0 table for a page, made when it is missing; NULL when a large leaf is in the way. */
static inline uint64_t *leaf_table(uint64_t pfn)
{
	uint64_t *table = frame(root);
	for (int level = 3; level > 0; level--) {
		uint64_t *entry = &table[(pfn >> (9 * level)) & 511];
		if (!*entry)
			*entry = ((uint64_t)new_table() << 12) | READ_WRITE;
		else if (*entry & PAGE_SIZE_BIT)
			return NULL;
		table = frame((*entry & ADDRESS) >> 12);
	}
	return table;
}

static int map_page(uint64_t pfn, uint64_t pa_pfn, uint64_t prot)
{
	uint64_t *table = leaf_table(pfn);
	if (!table || table[pfn & 511])
		return -1;
	table[pfn & 511] = (pa_pfn << 12) | prot;
	return 0;
}

static int map_run(uint64_t pfn, uint64_t pa_pfn, uint64_t count, uint64_t prot)
{
	while (count) {
		uint64_t *table = leaf_table(pfn), at = pfn & 511;
		uint64_t n = count < 512 - at ? count : 512 - at, taken = 0;
		if (!table)
			return -1;
		for (uint64_t i = 0; i < n; i++)
			taken |= table[at + i];
		if (taken)
			return -1;
		for (uint64_t i = 0; i < n; i++)
			table[at + i] = ((pa_pfn + i) << 12) | prot;
		pfn += n;
		pa_pfn += n;
		count -= n;
	}
	return 0;
}

static inline uint64_t *leaf_entry(uint64_t pfn)
{
	uint64_t *table = frame(root);
	for (int level = 3; level > 0; level--) {
		uint64_t entry = table[(pfn >> (9 * level)) & 511];
		if (!entry || (entry & PAGE_SIZE_BIT))
			return NULL;
		table = frame((entry & ADDRESS) >> 12);
	}
	return &table[pfn & 511];
}

static int unmap_page(uint64_t pfn)
{
	uint64_t *entry = leaf_entry(pfn);
	if (!entry || !*entry)
		return 0;
	*entry = 0;
	if (pfn < gather_start)
		gather_start = pfn;
	if (pfn > gather_end)
		gather_end = pfn;
	return 1;
}

/* Unlink the level-0 table of a page and put it on the free list. */
static uint32_t free_tables[ARENA_FRAMES], free_count;
static void drop_table(uint64_t pfn)
{
	uint64_t *table = frame(root);
	for (int level = 3; level > 1; level--)
		table = frame((table[(pfn >> (9 * level)) & 511] & ADDRESS) >> 12);
	uint64_t *entry = &table[(pfn >> 9) & 511];
	free_tables[free_count++] = (uint32_t)((*entry & ADDRESS) >> 12);
	*entry = 0;
}

/* Clear whole tables entry by entry, as a hole must be noticed; the table is given up when it is empty. */
static uint64_t unmap_run(uint64_t pfn, uint64_t count)
{
	uint64_t removed = 0;
	while (removed < count) {
		uint64_t *entry = leaf_entry(pfn + removed), at = (pfn + removed) & 511;
		uint64_t left = count - removed, n = left < 512 - at ? left : 512 - at, i;
		if (!entry)
			return removed;
		for (i = 0; i < n && entry[i]; i++)
			entry[i] = 0;
		removed += i;
		if (i < n)
			return removed;
		if (n == 512)
			drop_table(pfn + removed - 512);
	}
	return removed;
}

static inline uint64_t lookup(uint64_t pfn)
{
	uint64_t *entry = leaf_entry(pfn);
	return entry && *entry ? (*entry & ADDRESS) >> 12 : ~0ull;
}

/* Output pages that are never neighbours, so that no run can be made of them. */
static inline uint64_t target(uint32_t n)
{
	return 0x100000ull + 2ull * n;
}

static void empty(void)
{
	fresh = 1;
	root = new_table();
	gather_start = ~0ull;
	gather_end = 0;
	free_count = 0;
}

static void full(void)
{
	empty();
	for (uint32_t n = 0; n < PAGES; n++)
		map_page(BASE + n, target(n), READ_WRITE);
}

static void one_per_table(void)
{
	empty();
	for (uint32_t n = 0; n < PAGES; n += 512) {
		map_page(BASE + n, target(n), READ_WRITE);
		unmap_page(BASE + n);
	}
}

static uint64_t map_neighbours(void)
{
	uint64_t failed = 0;
	for (uint32_t n = 0; n < PAGES; n++)
		failed += map_page(BASE + n, target(n), READ_WRITE) != 0;
	return failed;
}

static uint64_t map_random(void)
{
	uint64_t failed = 0;
	for (uint32_t i = 0; i < PAGES; i++)
		failed += map_page(BASE + order[i], target(order[i]), READ_WRITE) != 0;
	return failed;
}

static uint64_t unmap_neighbours(void)
{
	uint64_t removed = 0;
	for (uint32_t n = 0; n < PAGES; n++)
		removed += unmap_page(BASE + n);
	return removed;
}

static uint64_t unmap_random(void)
{
	uint64_t removed = 0;
	for (uint32_t i = 0; i < PAGES; i++)
		removed += unmap_page(BASE + order[i]);
	return removed;
}

static uint64_t fill(void)
{
	return map_run(BASE, 0x100001, PAGES, READ_WRITE);
}

static uint64_t unmap_all(void)
{
	return unmap_run(BASE, PAGES);
}

static uint64_t walk_random(void)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < PAGES; i++)
		sum += lookup(BASE + order[i]);
	return sum;
}

static uint64_t walk_neighbours(void)
{
	uint64_t sum = 0;
	for (uint32_t n = 0; n < PAGES; n++)
		sum += lookup(BASE + n);
	return sum;
}

static void none_failed(uint64_t failed)
{
	bench_check(failed == 0 && lookup(BASE + 77) != ~0ull, "map");
}
static void all_removed(uint64_t removed)
{
	bench_check(removed == PAGES && lookup(BASE + 77) == ~0ull, "unmap");
}
static void sum_is_right(uint64_t sum)
{
	uint64_t expected = 0;
	for (uint32_t n = 0; n < PAGES; n++)
		expected += target(n);
	bench_check(sum == expected, "walk");
}

int main(void)
{
	arena = calloc(ARENA_FRAMES, 4096);
	order = shuffled(PAGES);
	bench("map-neighbours", PAGES, empty, map_neighbours, none_failed);
	bench("map-random", PAGES, one_per_table, map_random, none_failed);
	bench("unmap-neighbours", PAGES, full, unmap_neighbours, all_removed);
	bench("unmap-random", PAGES, full, unmap_random, all_removed);
	bench("fill", PAGES, empty, fill, none_failed);
	bench("unmap-all", PAGES, full, unmap_all, all_removed);
	full();
	bench("walk-random", PAGES, NULL, walk_random, sum_is_right);
	bench("walk-neighbours", PAGES, NULL, walk_neighbours, sum_is_right);
	return 0;
}
