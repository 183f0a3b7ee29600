/* The device is sent to an address that nothing was ever mapped at: the one behind its buffer. -DFIXED: to its buffer. */
#include "edu.h"

int main(void)
{
	struct edu edu = edu_open();

	edu_map(&edu, new_buffer(PAGE), IOVA, PAGE, READ | WRITE);
#ifdef FIXED
	edu_copy(&edu, IOVA, 1);
#else
	edu_copy(&edu, IOVA + PAGE, 1);
#endif
	edu_unmap(&edu, IOVA, PAGE);
	return 0;
}
