/*
 * Every form of instruction with a memory operand, on memory and on registers that are memory (device "generic"): registers,
 * flags and bytes are the same afterwards. The processor is the oracle.
 * Arguments: group number, device, rounds with random operands for each form.
 */
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "device.h"
#include "instructions.h"

#define WINDOW 512
#define OPERAND 192

struct state {
	uint64_t rax, rcx, rdx, rbx, r8, rsi, rdi, flags, k1, level;
	uint32_t mxcsr, pad[11];
	uint8_t vectors[4][64];
} __attribute__((aligned(64)));

/* void execute(struct state *, void (*form)(void)) */
void execute(struct state *state, void (*form)(void));
asm("execute: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rdi, %r14; mov %rsi, %r13\n"
    "fninit; ldmxcsr 80(%r14)\n"
    "cmpq $1, 72(%r14); jb 1f; ja 2f\n"
    "vmovdqu 128(%r14), %ymm0; vmovdqu 192(%r14), %ymm1; vmovdqu 256(%r14), %ymm2; vmovdqu 320(%r14), %ymm3; jmp 3f\n"
    "2: vmovdqu64 128(%r14), %zmm0; vmovdqu64 192(%r14), %zmm1; vmovdqu64 256(%r14), %zmm2; vmovdqu64 320(%r14), %zmm17\n"
    "kmovq 64(%r14), %k1; jmp 3f\n"
    "1: movups 128(%r14), %xmm0; movups 192(%r14), %xmm1; movups 256(%r14), %xmm2\n"
    "3: push 56(%r14); mov (%r14), %rax; mov 8(%r14), %rcx; mov 16(%r14), %rdx; mov 24(%r14), %rbx; mov 32(%r14), %r8\n"
    "mov 40(%r14), %rsi; mov 48(%r14), %rdi; popfq\n"
    "call *%r13\n"
    "pushfq; pop 56(%r14); cld; mov %rax, (%r14); mov %rcx, 8(%r14); mov %rdx, 16(%r14); mov %rbx, 24(%r14); mov %r8, 32(%r14)\n"
    "mov %rsi, 40(%r14); mov %rdi, 48(%r14); stmxcsr 80(%r14)\n"
    "cmpq $1, 72(%r14); jb 1f; ja 2f\n"
    "vmovdqu %ymm0, 128(%r14); vmovdqu %ymm1, 192(%r14); vmovdqu %ymm2, 256(%r14); vmovdqu %ymm3, 320(%r14); jmp 3f\n"
    "2: vmovdqu64 %zmm0, 128(%r14); vmovdqu64 %zmm1, 192(%r14); vmovdqu64 %zmm2, 256(%r14); vmovdqu64 %zmm17, 320(%r14)\n"
    "kmovq %k1, 64(%r14); jmp 3f\n"
    "1: movups %xmm0, 128(%r14); movups %xmm1, 192(%r14); movups %xmm2, 256(%r14)\n"
    "3: fninit; movl $0x1f80, 80(%r14); ldmxcsr 80(%r14); mov 80(%r14), %eax; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

#define X(name, needs, how, text) static void __attribute__((naked)) form_##name(void) { asm(text "\nret"); }
FORMS
#undef X
static const struct form {
	enum feature needs;
	/* a: the operand is aligned; i, j: register 1 is indexes of 4, 8 bytes; b: rcx is a number of bits; d: a quotient that fits; m: an MXCSR, f: an image of fxsave with one; s: two operands, rcx a small count */
	const char *how, *text;
	void (*run)(void);
} forms[] = {
#define X(name, needs, how, text) { needs, how, text, form_##name },
	FORMS
#undef X
};

static uint64_t seed = 88172645463325252ULL;
static uint64_t any(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}
static void fill(void *to, size_t size)
{
	for (size_t n = 0; n < size; n += 8) {
		uint64_t value = any() & (any() % 4 ? ~0ULL : any() & any());
		memcpy((char *)to + n, &value, 8);
	}
}
/* one access of 8 bytes after the other */
static void copy(volatile void *to, const volatile void *from)
{
	size_t count = WINDOW / 8;
	asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static int has(enum feature feature)
{
	unsigned a = 0, b = 0, c = 0, d = 0;
	switch (feature) {
	case BASE: return 1;
	case SSE42: return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
	case MOVBE: return __get_cpuid(1, &a, &b, &c, &d) && c & bit_MOVBE;
	case CX16: return __get_cpuid(1, &a, &b, &c, &d) && c & bit_CMPXCHG16B;
	case BMI: return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
	case LZ: return __get_cpuid(0x80000001, &a, &b, &c, &d) && c & bit_LZCNT;
	case ADX_: return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & (1 << 19);
	case AVX_: return __builtin_cpu_supports("avx");
	case AVX2_: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	case AVX512: return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
	case VBMI2: return has(AVX512) && __builtin_cpu_supports("avx512vbmi2");
	case DIRECT: return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & (1 << 27) && c & (1 << 28);
	}
	return 0;
}
static const char *const feature_names[] = { "BASE", "SSE42", "MOVBE", "CX16", "BMI", "LZCNT", "ADX", "AVX", "AVX2", "AVX512", "VBMI2", "MOVDIR" };

/* Where rsi and rdi point into: two windows of memory, two of registers, at the same places in their pages. */
static uint8_t *ram[2], *registers[2];
static struct state before, native, seen;
static uint8_t bytes[2][WINDOW], expected[2][WINDOW], found[2][WINDOW];

static void operands(const char *how)
{
	fill(&before, 64);
	fill(before.vectors, sizeof(before.vectors));
	fill(bytes, sizeof(bytes));
	before.flags = (any() & 0x8d5) | 0x202;
	before.level = has(AVX512) ? 2 : has(AVX_);
	before.mxcsr = 0x1f80;
	if (strchr(how, 'i'))
		for (int n = 0; n < 16; n++)
			((int32_t *)before.vectors[1])[n] = (int)(any() % 64) - 16;
	if (strchr(how, 'j'))
		for (int n = 0; n < 8; n++)
			((int64_t *)before.vectors[1])[n] = (int)(any() % 64) - 16;
	if (strchr(how, 'b'))
		before.rcx = (int64_t)(any() % 2048) - 1024;
	if (strchr(how, 's')) {
		before.rcx = any() % 17;
		if (any() % 2)
			memcpy(bytes[1], bytes[0], WINDOW);
		bytes[1][OPERAND + any() % 64] ^= any() % 3;
		if (any() % 2)
			memset(&before.rax, bytes[1][OPERAND + any() % 8], 8);
	}
	if (any() % 2) { /* compares equal */
		memcpy(&before.rax, bytes[0] + OPERAND, 8);
		memcpy(&before.rdx, bytes[0] + OPERAND + 8, 8);
	}
	if (strchr(how, 'm'))
		memset(bytes[0] + OPERAND + 2, 0, 2);
	if (strchr(how, 'f'))
		memset(bytes[0] + OPERAND + 26, 0, 2);
	if (strchr(how, 'd')) {
		before.rdx = 0;
		before.rax &= 0x7fff7fff7fff7fffULL;
		for (int n = 0; n < WINDOW; n++)
			bytes[0][n] |= 1;
	}
}
static void carry_out(struct state *state, void (*run)(void), uint8_t *const *place, unsigned offset, uint8_t (*after)[WINDOW])
{
	*state = before;
	for (int n = 0; n < 2; n++)
		copy(place[n] + offset, bytes[n]);
	state->rsi = (uint64_t)place[0] + offset + OPERAND;
	state->rdi = (uint64_t)place[1] + offset + OPERAND;
	execute(state, run);
	for (int n = 0; n < 2; n++)
		copy(after[n], place[n] + offset);
	state->rsi -= (uint64_t)place[0];
	state->rdi -= (uint64_t)place[1];
	state->flags &= 0xcd5;
}
static int differs(const struct form *form, unsigned sides, unsigned offset)
{
	uint8_t *const place[2] = { sides & 1 ? registers[0] : ram[0], sides & 2 ? registers[1] : ram[1] };

	operands(form->how);
	carry_out(&native, form->run, ram, offset, expected);
	carry_out(&seen, form->run, place, offset, found);
	if (!memcmp(&native, &seen, sizeof(native)) && !memcmp(expected, found, sizeof(found)))
		return 0;
	printf("%s: %s differs at +%#x (%u)", form->text, memcmp(expected, found, sizeof(found)) ? "memory" : "a register", offset, sides);
	for (unsigned n = 0; n < sizeof(native) / 8; n++)
		if (((uint64_t *)&native)[n] != ((uint64_t *)&seen)[n])
			printf(" [%u] %lx for %lx", n, ((uint64_t *)&seen)[n], ((uint64_t *)&native)[n]);
	printf("\n");
	return 1;
}

int main(int argc, char **argv)
{
	int device, rounds = atoi(argv[3]), forms_run = 0, wrong = 0;
	unsigned skipped = 0;
	uint8_t *all, *bar;

	setvbuf(stdout, NULL, _IOLBF, 0);
	device = open_by_group(argv[1], argv[2], 0).device;
	bar = map_bar0(device);
	all = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bar0_of(device).size < 16384)
		return 3;
	for (int n = 0; n < 2; n++)
		ram[n] = all + 8192 * n, registers[n] = bar + 8192 * n;

	for (unsigned n = 0; n < sizeof(forms) / sizeof(forms[0]); n++) {
		const struct form *form = &forms[n];
		int aligned = strchr(form->how, 'a') != NULL, two = strchr(form->how, 's') != NULL;
		if (!has(form->needs)) {
			if (!(skipped & (1 << form->needs)))
				printf("skipped: this processor has no %s\n", feature_names[form->needs]);
			skipped |= 1 << form->needs;
			continue;
		}
		forms_run++;
		for (int round = 0; round < rounds && wrong < 20; round++) {
			/* every other operand crosses the end of a page */
			unsigned offset = any() % 2 ? any() % 3000 : 4096 - OPERAND - any() % 64;
			if (aligned)
				offset &= ~63;
			wrong += differs(form, two ? 1 + any() % 3 : 1, offset);
		}
	}
	printf("%d forms, %d wrong\n", forms_run, wrong);
	return wrong || forms_run < 100;
}
