/*
 * The device writes 64 bytes into the last 32 of a buffer. No fault stops it: another buffer is mapped behind it. -DFIXED: the
 * transfer ends with the buffer.
 */
#include "edu.h"

int main(void)
{
	struct edu edu = edu_open();
	char *pool = new_buffer(3 * PAGE);
#ifdef FIXED
	const uint64_t end = 64;
#else
	const uint64_t end = 32;
#endif

	edu_map(&edu, pool, IOVA, PAGE, READ | WRITE);
	edu_map(&edu, pool + 2 * PAGE, IOVA + PAGE, PAGE, READ | WRITE);
	edu_copy(&edu, IOVA + PAGE - end, 1);
	edu_unmap(&edu, IOVA, 2 * PAGE);
	return 0;
}
