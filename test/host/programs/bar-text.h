/*
 * Registers that keep what is stored to them, as text, and what came of a call with them as its buffer.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static volatile uint8_t *bar;

static void set(unsigned at, const char *what)
{
	for (unsigned n = 0; what[n]; n++)
		bar[at + n] = what[n];
}
static const char *held(unsigned at, unsigned length)
{
	static char copy[64];
	unsigned n;

	for (n = 0; n < length; n++)
		copy[n] = bar[at + n] ? bar[at + n] : '.';
	copy[n] = 0;
	return copy;
}
static void say(const char *what, long result, const char *bytes)
{
	if (result < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %ld %s\n", what, result, bytes);
}
