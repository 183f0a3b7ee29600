/* A buffer is unmapped while the device still means to write to it. -DFIXED: first the copy, then the unmap. */
#include "edu.h"

static void start(struct edu *edu)
{
	edu_map(edu, new_buffer(PAGE), IOVA, PAGE, READ | WRITE);
	edu_copy(edu, IOVA, 1);
}
static void stop(struct edu *edu)
{
	edu_unmap(edu, IOVA, PAGE);
}

int main(void)
{
	struct edu edu = edu_open();

	start(&edu);
	stop(&edu);
#ifndef FIXED
	edu_copy(&edu, IOVA + 128, 1);
#endif
	return 0;
}
