/*
 * Numbers at random, the same ones for the same seed, which is put into `state` first and is not 0.
 */
#include <stdint.h>

static uint64_t state;

static uint32_t any(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16) % below;
}
