/*
 * Maps registers and ends. Arguments: group number and device; then "leak", to lose memory, or a command that is run before the
 * registers are touched again, with our number in it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "device.h"

int main(int argc, char **argv)
{
	char text[256];
	volatile uint32_t *bar;

	setvbuf(stdout, NULL, _IONBF, 0);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	bar = map_bar0(open_by_group(argv[1], argv[2], 0).device);
	*bar = 5;
	if (argc > 3 && !strcmp(argv[3], "leak")) {
		*(char *volatile *)&argv[0] = malloc(1000);
		argv[0] = NULL;
	} else if (argc > 3) {
		snprintf(text, sizeof(text), argv[3], getpid());
		system(text);
	}
	printf("the register: %u\n", *bar);
	return 0;
}
