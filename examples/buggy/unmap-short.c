/* The program is off by a page, and the unmap that it takes for done has removed nothing. -DFIXED: it says the right address. */
#include "edu.h"

int main(void)
{
	struct edu edu = edu_open();

	edu_map(&edu, new_buffer(PAGE), IOVA, PAGE, READ | WRITE);
	edu_copy(&edu, IOVA, 0);
#ifndef FIXED
	edu_unmap(&edu, IOVA + PAGE, PAGE);
#endif
	edu_unmap(&edu, IOVA, PAGE);
	return 0;
}
