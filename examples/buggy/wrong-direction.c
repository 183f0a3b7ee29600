/* A buffer for results is mapped for reading only, and the device writes to it. -DFIXED: it is mapped for writing. */
#include "edu.h"

int main(void)
{
	struct edu edu = edu_open();
#ifdef FIXED
	const int flags = READ | WRITE;
#else
	const int flags = READ;
#endif

	edu_map(&edu, new_buffer(PAGE), IOVA, PAGE, flags);
	edu_copy(&edu, IOVA, 1);
	edu_unmap(&edu, IOVA, PAGE);
	return 0;
}
