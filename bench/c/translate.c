/*
 * A translation in C with every check that our unit makes: the requester and its PASID, the tag, the permission, the
 * interrupt range, the input width, tables inside memory, leaves of every size, accessed and dirty marks, and an IOTLB
 * entry that knows its rights and the size of its leaf. What is left out is what neither side does in a timed loop: root,
 * context and PASID entries are known, nothing is refused.
 */
#include "bench.h"

#define PAGES (1u << 18)
#define BASE 0x12340000ull
#define HITS (1u << 20)
#define HOT 2048u
#define DEVICES 64u
#define RID 8u
#define ARENA_FRAMES 4096u
#define ADDRESS 0x000ffffffffff000ull
#define FIRST_MESSAGE 0xfee00ull
#define LAST_MESSAGE 0xfeeffull

#define ENTRIES 4096u
#define FRONT_SLOTS 256u
#define READ 1u
#define WRITE 2u
#define FAULT (-1)

/* Rights of a second stage stand in bits 0 and 1; the first stage has a present, a write and a user bit. */
#define PRESENT 1ull
#define WRITABLE 2ull
#define USER 4ull
#define ACCESSED (1ull << 5)
#define DIRTY (1ull << 6)
#define LARGE (1ull << 7)

struct root {
	uint64_t table;
	int top_level;
	uint64_t limit, upper;
	int large_levels;
	const struct root *host;
};

struct found {
	uint64_t out;
	uint32_t rights, lg2;
};

typedef int walk_fn(const struct root *, uint64_t, uint32_t, struct found *);

/* Which tag and which walk the requests of a requester and PASID are answered by. */
struct front {
	int32_t requester, pasid;
	uint32_t tag, hash;
};
struct walked_by {
	walk_fn *walk;
	const struct root *root;
};
struct entry {
	uint32_t low, tag;
	int32_t read, write;
};

static struct front fronts[FRONT_SLOTS];
static struct walked_by walkers[FRONT_SLOTS];
static struct entry entries[ENTRIES];
static uint8_t leaves[ENTRIES];
static uint64_t *arena;
static uint32_t fresh = 1;
static uint32_t *order;
static volatile int enabled = 1;

static uint64_t *frame(uint64_t number)
{
	return arena + number * 512;
}

/* --- walks --- */

static int beyond(const struct root *root, uint64_t pfn)
{
	return pfn >= root->limit && pfn < root->upper;
}

static uint64_t join(uint64_t table, uint64_t pfn, uint32_t lg2)
{
	uint64_t inside = (1ull << lg2) - 1;
	return (table & ~inside) | (pfn & inside);
}

static int walk_second(const struct root *root, uint64_t pfn, uint32_t access, struct found *found)
{
	if (beyond(root, pfn))
		return FAULT;
	uint64_t table = root->table, rights = READ | WRITE;
	for (int level = root->top_level;; level--) {
		if (table >= ARENA_FRAMES)
			return FAULT;
		uint64_t entry = frame(table)[(pfn >> (9 * level)) & 511];
		rights &= entry;
		if (!rights)
			return FAULT;
		table = (entry & ADDRESS) >> 12;
		if (level > 0 && !(entry & LARGE))
			continue;
		if (level > 0 && !((root->large_levels >> level) & 1))
			return FAULT;
		if (!(rights & access))
			return FAULT;
		found->rights = rights;
		found->lg2 = 9 * level;
		found->out = level ? join(table, pfn, found->lg2) : table;
		return 0;
	}
}

/* The item of a first stage with the marks of an access, or 0 if it does not allow it. */
static inline uint64_t marked(uint64_t entry, uint64_t needed, uint64_t marks)
{
	return (entry & needed) == needed ? entry | marks : 0;
}

static int walk_first(const struct root *root, uint64_t pfn, uint32_t access, struct found *found)
{
	if (beyond(root, pfn))
		return FAULT;
	uint64_t needed = PRESENT | USER | (access & WRITE);
	uint64_t dirty = access & WRITE ? DIRTY : 0;
	uint64_t table = root->table, rights = WRITABLE;
	for (int level = root->top_level;; level--) {
		if (root->host) {
			if (walk_second(root->host, table, READ, found))
				return FAULT;
			table = found->out;
		}
		if (table >= ARENA_FRAMES)
			return FAULT;
		uint64_t *at = &frame(table)[(pfn >> (9 * level)) & 511];
		int leaf = level == 0 || (*at & LARGE);
		uint64_t entry = marked(*at, needed, ACCESSED | (leaf ? dirty : 0));
		if (!entry)
			return FAULT;
		if (entry != *at)
			*at = entry;
		rights &= entry;
		table = (entry & ADDRESS) >> 12;
		if (!leaf)
			continue;
		if (level > 0 && !((root->large_levels >> level) & 1))
			return FAULT;
		uint32_t lg2 = 9 * level, may = READ | (entry & DIRTY ? rights : 0);
		uint64_t out = level ? join(table, pfn, lg2) : table;
		if (root->host) {
			if (walk_second(root->host, out, access, found))
				return FAULT;
			may &= found->rights;
			out = found->out;
			lg2 = lg2 < found->lg2 ? lg2 : found->lg2;
		}
		found->rights = may;
		found->lg2 = lg2;
		found->out = out;
		return 0;
	}
}

/* --- the cache --- */

static inline uint32_t front_slot(uint32_t requester, int32_t pasid)
{
	return (requester ^ (requester >> 8) ^ (uint32_t)(pasid + 1)) & (FRONT_SLOTS - 1);
}

static void fill(const struct front *front, uint64_t pfn, const struct found *found)
{
	uint32_t slot = ((uint32_t)pfn ^ front->hash) & (ENTRIES - 1);
	struct entry *entry = &entries[slot];
	entry->low = pfn;
	entry->tag = front->tag | (uint32_t)(pfn >> 32);
	entry->read = found->rights & READ ? (int32_t)found->out : -1;
	entry->write = found->rights & WRITE ? (int32_t)found->out : -1;
	leaves[slot] = found->lg2;
}

static __attribute__((noinline)) int64_t miss(uint32_t requester, int32_t pasid, uint64_t pfn, int write)
{
	if (pasid < 0 && pfn >= FIRST_MESSAGE && pfn <= LAST_MESSAGE)
		return write ? (int64_t)pfn : FAULT;
	uint32_t slot = front_slot(requester, pasid);
	const struct front *front = &fronts[slot];
	if (front->requester != (int32_t)requester || front->pasid != pasid)
		return enabled ? FAULT : (int64_t)pfn;
	struct found found;
	const struct walked_by *by = &walkers[slot];
	if (by->walk(by->root, pfn, write ? WRITE : READ, &found))
		return FAULT;
	fill(front, pfn, &found);
	return found.out;
}

static inline int64_t translate(uint32_t requester, int32_t pasid, uint64_t pfn, int write)
{
	const struct front *front = &fronts[front_slot(requester, pasid)];
	const struct entry *entry = &entries[((uint32_t)pfn ^ front->hash) & (ENTRIES - 1)];
	if (front->requester == (int32_t)requester && front->pasid == pasid && entry->low == (uint32_t)pfn &&
	    entry->tag == (front->tag | (uint32_t)(pfn >> 32))) {
		int32_t out = write ? entry->write : entry->read;
		if (out >= 0)
			return out;
	}
	return miss(requester, pasid, pfn, write);
}

/* --- tables --- */

static uint64_t target(uint32_t n)
{
	return 0x100000 + 2ull * n;
}

static void map_page(uint64_t root, uint64_t pfn, uint64_t out, uint64_t attributes)
{
	uint64_t *table = frame(root);
	for (int level = 3; level > 0; level--) {
		uint64_t *entry = &table[(pfn >> (9 * level)) & 511];
		if (!*entry)
			*entry = ((uint64_t)fresh++ << 12) | attributes;
		table = frame((*entry & ADDRESS) >> 12);
	}
	table[pfn & 511] = (out << 12) | attributes;
}

static struct root make(uint64_t attributes)
{
	struct root root = { fresh++, 3, 1ull << 36, 1ull << 36, 6, NULL };
	for (uint32_t n = 0; n < PAGES; n++)
		map_page(root.table, BASE + n, target(n), attributes);
	return root;
}

/* What the second stage of a nested translation maps: all of the guest's tables and all it can name, to itself. */
static struct root make_host(uint64_t last_table)
{
	struct root root = { fresh++, 3, 1ull << 36, 1ull << 36, 6, NULL };
	for (uint64_t n = 0; n < last_table; n++)
		map_page(root.table, n, n, READ | WRITE);
	for (uint32_t n = 0; n < PAGES; n++)
		map_page(root.table, target(n), target(n), READ | WRITE);
	return root;
}

/* Every device of the bench is translated by this from now on. */
static void serve(walk_fn *walk, const struct root *root, uint32_t tag)
{
	for (uint32_t n = 0; n < DEVICES; n++) {
		uint32_t requester = RID | (n << 8), slot = front_slot(requester, -1);
		uint32_t hash = (tag * 0x9e5) & (ENTRIES - 1);
		fronts[slot] = (struct front){ requester, -1, tag << 20, hash };
		walkers[slot] = (struct walked_by){ walk, root };
	}
}

/* --- what is timed --- */

static uint64_t hits(void)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < HITS; i++)
		sum += translate(RID, -1, BASE + (order[i & (PAGES - 1)] & (HOT - 1)), 0);
	return sum;
}

static uint64_t hits_of_many(void)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < HITS; i++)
		sum += translate(RID | ((i % DEVICES) << 8), -1,
				 BASE + (order[i & (PAGES - 1)] & (HOT - 1)), (i & 1) == 0);
	return sum;
}

static uint64_t misses(void)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < PAGES; i++)
		sum += translate(RID, -1, BASE + order[i], 0);
	return sum;
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
	struct root first = make(PRESENT | WRITABLE | USER | ACCESSED | DIRTY);
	struct root nested = first;
	struct root host = make_host(fresh);
	struct root second = make(READ | WRITE);
	nested.host = &host;
	for (uint32_t n = 0; n < FRONT_SLOTS; n++)
		fronts[n] = (struct front){ -1, -1, 0, 0 };
	serve(walk_second, &second, 1);
	bench("hit", HITS, NULL, hits, hot_is_right);
	bench("hit-devices", HITS, NULL, hits_of_many, hot_is_right);
	bench("miss-legacy", PAGES, NULL, misses, all_is_right);
	bench("miss-second", PAGES, NULL, misses, all_is_right);
	serve(walk_first, &first, 2);
	bench("miss-first", PAGES, NULL, misses, all_is_right);
	serve(walk_first, &nested, 3);
	bench("miss-nested", PAGES, NULL, misses, all_is_right);
	return 0;
}
