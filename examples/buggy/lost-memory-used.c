/*
 * An allocator gives free memory back to the kernel, and does not know that it is still mapped for the device, which then
 * writes where the program never reads. -DFIXED: what is mapped is kept.
 */
#include "edu.h"

static void trim(char *memory, size_t size)
{
	madvise(memory, size, MADV_DONTNEED);
}

int main(void)
{
	struct edu edu = edu_open();
	char *pool = new_buffer(4 * PAGE);

	edu_map(&edu, pool, IOVA, 2 * PAGE, READ | WRITE);
#ifdef FIXED
	trim(pool + 2 * PAGE, 2 * PAGE);
#else
	trim(pool + PAGE, 3 * PAGE);
#endif
	edu_copy(&edu, IOVA, 1);
	edu_copy(&edu, IOVA + PAGE + 256, 1);
	edu_unmap(&edu, IOVA, 2 * PAGE);
	return 0;
}
