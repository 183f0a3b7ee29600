/*
 * A second buffer is mapped where one is already; the error is ignored, and the device writes into the first one. -DFIXED:
 * the second one has an address of its own.
 */
#include "edu.h"

static void map_results(struct edu *edu, uint64_t iova)
{
	edu_map(edu, new_buffer(PAGE), iova, PAGE, READ | WRITE);
}

int main(void)
{
	struct edu edu = edu_open();
#ifdef FIXED
	const uint64_t results = IOVA + 2 * PAGE;
#else
	const uint64_t results = IOVA + PAGE;
#endif

	edu_map(&edu, new_buffer(2 * PAGE), IOVA, 2 * PAGE, READ | WRITE);
	map_results(&edu, results);
	edu_copy(&edu, results, 1);
	edu_unmap(&edu, IOVA, 2 * PAGE);
#ifdef FIXED
	edu_unmap(&edu, results, PAGE);
#endif
	return 0;
}
