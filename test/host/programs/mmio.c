/*
 * Loads and stores of every supported form against device registers, compared with the same instruction on plain memory:
 * the processor is the oracle. The edu device's DMA source and destination registers (0x80, 0x88) hold what is written.
 */
#include <emmintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "device.h"

static volatile uint8_t *bar;
static uint64_t plain[2] __attribute__((aligned(64)));
static int failures;

static void *registers(void) { return map_bar0(open_by_group("0", "0000:00:04.0", 0).device); }

static void compare(const char *what, uint64_t result, uint64_t flags, uint64_t result2, uint64_t flags2)
{
	uint64_t now = *(volatile uint64_t *)(bar + 0x80);

	const char *end = strchr(strncmp(what, "lock ", 5) ? what : what + 5, ' ');
	/* A 4-byte store to these 8-byte registers clears the upper half: the device's way, not the processor's. */
	uint64_t want = end[-1] == 'l' && now >> 32 == 0 ? (uint32_t)plain[0] : plain[0];

	if (result == result2 && ((flags ^ flags2) & 0x8d5) == 0 && now == want)
		return;
	failures++;
	printf("%s: registers %lx flags %lx memory %lx; plain %lx flags %lx memory %lx\n", what, result,
	       flags & 0x8d5, now, result2, flags2 & 0x8d5, plain[0]);
}

/* One instruction with a register operand (rdx) and one memory operand (rsi), with rax as the accumulator. */
#define TRY(text)                                                                                            \
	do {                                                                                                 \
		for (unsigned v = 0; v < sizeof(values) / sizeof(*values); v++) {                            \
			uint64_t d1 = values[v], d2 = values[v], f1, f2, a1 = start, a2 = start;             \
			plain[0] = start;                                                                    \
			*(volatile uint64_t *)(bar + 0x80) = start;                                          \
			__asm__ volatile("xor %%ecx, %%ecx\n" text "\npushfq\npop %1"                         \
					 : "+d"(d1), "=&r"(f1), "+a"(a1)                                     \
					 : "S"(bar + 0x80)                                                   \
					 : "memory", "cc", "rcx");                                           \
			__asm__ volatile("xor %%ecx, %%ecx\n" text "\npushfq\npop %1"                         \
					 : "+d"(d2), "=&r"(f2), "+a"(a2)                                     \
					 : "S"(plain)                                                        \
					 : "memory", "cc", "rcx");                                           \
			compare(text, d1 ^ a1, f1, d2 ^ a2, f2);                                             \
		}                                                                                            \
	} while (0)

static const uint64_t values[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x8000000000000000, 3 };
static const uint64_t start = 0x80000000fedcba98;

int main(void)
{
	bar = registers();
	if (bar == MAP_FAILED)
		return 2;
	TRY("movq (%%rsi), %%rdx");
	TRY("movl (%%rsi), %%edx");
	TRY("movl %%edx, (%%rsi)");
	TRY("movq %%rdx, (%%rsi)");
	TRY("movq $0x12345678, (%%rsi)");
	TRY("movl $-2, (%%rsi)");
	TRY("movslq (%%rsi), %%rdx");
	TRY("orl %%edx, (%%rsi)");
	TRY("orq (%%rsi), %%rdx");
	TRY("andl $0xff00, (%%rsi)");
	TRY("andq %%rdx, (%%rsi)");
	TRY("xorl %%edx, (%%rsi)");
	TRY("addl %%edx, (%%rsi)");
	TRY("addq (%%rsi), %%rdx");
	TRY("subl %%edx, (%%rsi)");
	TRY("subq (%%rsi), %%rdx");
	TRY("cmpl %%edx, (%%rsi)");
	TRY("cmpq (%%rsi), %%rdx");
	TRY("cmpl $5, (%%rsi)");
	TRY("testl %%edx, (%%rsi)");
	TRY("testq $0x80, (%%rsi)");
	TRY("xchgl %%edx, (%%rsi)");
	TRY("xchgq %%rdx, (%%rsi)");
	TRY("lock xaddl %%edx, (%%rsi)");
	TRY("lock cmpxchgq %%rdx, (%%rsi)");
	TRY("lock cmpxchgl %%edx, (%%rsi)");
	TRY("incl (%%rsi)");
	TRY("decq (%%rsi)");
	TRY("notl (%%rsi)");
	TRY("negq (%%rsi)");
	TRY("btl $7, (%%rsi)");
	TRY("lock btsl $9, (%%rsi)");
	TRY("btrq $31, (%%rsi)");
	TRY("movnti %%rdx, (%%rsi)");

	/* Vectors: both registers at once. */
	__m128i value = _mm_set_epi64x(0x123456789abcdef0, 0x0fedcba987654321), back;
	_mm_storeu_si128((void *)(bar + 0x80), value);
	back = _mm_loadu_si128((void *)(bar + 0x80));
	if (memcmp(&value, &back, 16)) {
		printf("a 16-byte store and load differ\n");
		failures++;
	}
	/* Strings: out of the registers and into them. */
	uint64_t copy[2] = { 0, 0 }, source = 0x1122334455667788;
	void *to = copy, *from = (void *)(bar + 0x80);
	uint64_t count = 2;
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count)::"memory");
	if (memcmp(copy, &value, 16) || count) {
		printf("rep movsq from the registers: %lx %lx\n", copy[0], copy[1]);
		failures++;
	}
	to = (void *)(bar + 0x88), from = &source;
	__asm__ volatile("movsq" : "+D"(to), "+S"(from)::"memory");
	if (*(volatile uint64_t *)(bar + 0x88) != source) {
		printf("movsq to the registers\n");
		failures++;
	}
	printf("%d differences\n", failures);
	return failures != 0;
}
