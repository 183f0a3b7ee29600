/*
 * A page that the device may only read is inside a larger mapping through which it may write. -DFIXED: only what lies before
 * the page is mapped for writing.
 */
#include "edu.h"

int main(void)
{
	struct edu edu = edu_open();
	char *buffer = new_buffer(2 * PAGE);
#ifdef FIXED
	const uint64_t writable = PAGE;
#else
	const uint64_t writable = 2 * PAGE;
#endif

	edu_map(&edu, buffer + PAGE, IOVA, PAGE, READ);
	edu_map(&edu, buffer, IOVA + 16 * PAGE, writable, READ | WRITE);
	edu_copy(&edu, IOVA + 16 * PAGE, 1);
	edu_unmap(&edu, IOVA, PAGE);
	edu_unmap(&edu, IOVA + 16 * PAGE, writable);
	return 0;
}
