/* Memory is unmapped first and its mapping behind it: in between a device can reach what is nobody's. -DFIXED: in order. */
#include "edu.h"

static void free_buffer(char *buffer)
{
	munmap(buffer, PAGE);
}

int main(void)
{
	struct edu edu = edu_open();
	char *buffer = new_buffer(PAGE);

	edu_map(&edu, buffer, IOVA, PAGE, READ | WRITE);
	edu_copy(&edu, IOVA, 1);
#ifdef FIXED
	edu_unmap(&edu, IOVA, PAGE);
	free_buffer(buffer);
#else
	free_buffer(buffer);
	edu_unmap(&edu, IOVA, PAGE);
#endif
	return 0;
}
