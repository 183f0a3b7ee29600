/*
 * Disjoint ranges with 64-bit inclusive ends in a B+tree of 32 keys a node: what src/base/interval-map.ts does in
 * typed arrays, without its bounds for free gaps. Inserting checks for overlap, as ours does.
 */
#define BENCH_ROUNDS 3
#define BENCH_WARM_UP 1
#include "bench.h"

#define COUNT 1000000u
#define FANOUT 32
#define MAX_HEIGHT 16

struct leaf {
	uint64_t start[FANOUT], last[FANOUT];
	uint32_t value[FANOUT];
	int count;
	struct leaf *next, *prev;
};

struct node {
	uint64_t key[FANOUT];
	void *child[FANOUT];
	int count;
};

static void *root;
static int height;
static struct node *path_node[MAX_HEIGHT];
static int path_at[MAX_HEIGHT];
static uint32_t *order;

static void free_below(void *at, int level)
{
	if (level > 0) {
		struct node *node = at;
		for (int n = 0; n < node->count; n++)
			free_below(node->child[n], level - 1);
	}
	free(at);
}

static void clear(void)
{
	if (root)
		free_below(root, height);
	root = calloc(1, sizeof(struct leaf));
	height = 0;
}

/* The last key not above `x` in keys[0..count), at least 0. */
static inline int lower(const uint64_t *keys, int count, uint64_t x)
{
	int at = 0;
	for (int length = count; length > 1;) {
		int half = length >> 1;
		if (keys[at + half] <= x)
			at += half;
		length -= half;
	}
	return at;
}

static inline struct leaf *descend(uint64_t x)
{
	void *at = root;
	for (int level = height; level > 0; level--) {
		struct node *node = at;
		int n = lower(node->key, node->count, x);
		path_node[level] = node;
		path_at[level] = n;
		at = node->child[n];
	}
	return at;
}

static void node_insert(struct node *node, int at, uint64_t key, void *child)
{
	memmove(&node->key[at + 1], &node->key[at], (node->count - at) * sizeof(node->key[0]));
	memmove(&node->child[at + 1], &node->child[at], (node->count - at) * sizeof(node->child[0]));
	node->key[at] = key;
	node->child[at] = child;
	node->count++;
}

static void add_child(int level, uint64_t key, void *child, int appending)
{
	if (level > height) {
		struct node *top = calloc(1, sizeof(*top));
		node_insert(top, 0, 0, root);
		node_insert(top, 1, key, child);
		root = top;
		height++;
		return;
	}
	struct node *node = path_node[level];
	int at = path_at[level] + 1;
	if (node->count < FANOUT) {
		node_insert(node, at, key, child);
		return;
	}
	struct node *right = calloc(1, sizeof(*right));
	int kept = appending && at == FANOUT ? FANOUT - 1 : FANOUT / 2;
	right->count = FANOUT - kept;
	memcpy(right->key, &node->key[kept], right->count * sizeof(node->key[0]));
	memcpy(right->child, &node->child[kept], right->count * sizeof(node->child[0]));
	node->count = kept;
	if (at > kept)
		node_insert(right, at - kept, key, child);
	else
		node_insert(node, at, key, child);
	add_child(level + 1, right->key[0], right, appending);
}

static void leaf_insert(struct leaf *leaf, int at, uint64_t start, uint64_t last, uint32_t value)
{
	int moved = leaf->count - at;
	memmove(&leaf->start[at + 1], &leaf->start[at], moved * sizeof(leaf->start[0]));
	memmove(&leaf->last[at + 1], &leaf->last[at], moved * sizeof(leaf->last[0]));
	memmove(&leaf->value[at + 1], &leaf->value[at], moved * sizeof(leaf->value[0]));
	leaf->start[at] = start;
	leaf->last[at] = last;
	leaf->value[at] = value;
	leaf->count++;
}

static int insert(uint64_t start, uint64_t last, uint32_t value)
{
	struct leaf *leaf = descend(start);
	int at = lower(leaf->start, leaf->count, start);
	if (leaf->count > 0 && leaf->start[at] <= start)
		at++;
	if (at > 0 && leaf->last[at - 1] >= start)
		return 0;
	if (at < leaf->count ? leaf->start[at] <= last
			     : leaf->next && leaf->next->start[0] <= last)
		return 0;
	if (leaf->count < FANOUT) {
		leaf_insert(leaf, at, start, last, value);
		return 1;
	}
	struct leaf *right = malloc(sizeof(*right));
	int kept = at == FANOUT ? FANOUT - 1 : FANOUT / 2;
	right->count = FANOUT - kept;
	memcpy(right->start, &leaf->start[kept], right->count * sizeof(leaf->start[0]));
	memcpy(right->last, &leaf->last[kept], right->count * sizeof(leaf->last[0]));
	memcpy(right->value, &leaf->value[kept], right->count * sizeof(leaf->value[0]));
	leaf->count = kept;
	right->next = leaf->next;
	right->prev = leaf;
	if (right->next)
		right->next->prev = right;
	leaf->next = right;
	if (at > kept)
		leaf_insert(right, at - kept, start, last, value);
	else
		leaf_insert(leaf, at, start, last, value);
	add_child(1, right->start[0], right, at == FANOUT);
	return 1;
}

static uint32_t find(uint64_t x)
{
	struct leaf *leaf = descend(x);
	int at = lower(leaf->start, leaf->count, x);
	return leaf->count > 0 && leaf->start[at] <= x && leaf->last[at] >= x ? leaf->value[at] : ~0u;
}

static void drop(struct leaf *leaf)
{
	if (leaf->prev)
		leaf->prev->next = leaf->next;
	if (leaf->next)
		leaf->next->prev = leaf->prev;
	free(leaf);
	for (int level = 1; level <= height; level++) {
		struct node *node = path_node[level];
		int at = path_at[level], moved = --node->count - at;
		memmove(&node->key[at], &node->key[at + 1], moved * sizeof(node->key[0]));
		memmove(&node->child[at], &node->child[at + 1], moved * sizeof(node->child[0]));
		if (node->count > 0)
			return;
		free(node);
	}
	root = calloc(1, sizeof(struct leaf));
	height = 0;
}

static uint32_t erase(uint64_t start)
{
	struct leaf *leaf = descend(start);
	int at = lower(leaf->start, leaf->count, start);
	bench_check(leaf->count > 0 && leaf->start[at] == start, "nothing to erase");
	uint32_t value = leaf->value[at];
	int moved = --leaf->count - at;
	memmove(&leaf->start[at], &leaf->start[at + 1], moved * sizeof(leaf->start[0]));
	memmove(&leaf->last[at], &leaf->last[at + 1], moved * sizeof(leaf->last[0]));
	memmove(&leaf->value[at], &leaf->value[at + 1], moved * sizeof(leaf->value[0]));
	if (leaf->count == 0 && height > 0)
		drop(leaf);
	return value;
}

static uint64_t start_of(uint32_t n)
{
	return 0x100000000ull + n * 8ull;
}

static uint64_t insert_seq(void)
{
	uint64_t done = 0;
	for (uint32_t n = 0; n < COUNT; n++)
		done += insert(start_of(n), start_of(n) + 3, n);
	return done;
}

static uint64_t insert_random(void)
{
	uint64_t done = 0;
	for (uint32_t n = 0; n < COUNT; n++)
		done += insert(start_of(order[n]), start_of(order[n]) + 3, order[n]);
	return done;
}

static uint64_t find_random(void)
{
	uint64_t found = 0;
	for (uint32_t n = 0; n < COUNT; n++)
		found += find(start_of(order[n]) + 2) == order[n];
	return found;
}

static uint64_t erase_random(void)
{
	uint64_t done = 0;
	for (uint32_t n = 0; n < COUNT; n++)
		done += erase(start_of(order[n])) == order[n];
	return done;
}

static void fill(void)
{
	clear();
	insert_random();
}

static void is_all(uint64_t count)
{
	bench_check(count == COUNT, "count");
}

int main(void)
{
	order = shuffled(COUNT);
	bench("insert-seq", COUNT, clear, insert_seq, is_all);
	bench("insert-random", COUNT, clear, insert_random, is_all);
	bench("find-random", COUNT, NULL, find_random, is_all);
	bench("erase-random", COUNT, fill, erase_random, is_all);
	return 0;
}
