/* Buffers are mapped one by one and never unmapped; an IOAS is never destroyed. -DFIXED: everything is undone. */
#include "edu.h"

struct ioas_alloc {
	uint32_t size, flags, id;
};

static uint32_t new_ioas(int iommufd)
{
	struct ioas_alloc alloc = { .size = sizeof(alloc) };

	ioctl(iommufd, 0x3b81, &alloc);
	return alloc.id;
}
static void fill(struct edu *edu, int count)
{
	for (int n = 0; n < count; n++)
		edu_map(edu, new_buffer(PAGE), IOVA + n * PAGE, PAGE, READ | WRITE);
}

int main(void)
{
	struct edu edu = edu_open();
	int iommufd = open("/dev/iommu", O_RDWR);
	uint32_t destroy[2] = { sizeof(destroy), new_ioas(iommufd) };

	fill(&edu, 3);
	edu_copy(&edu, IOVA, 0);
#ifdef FIXED
	ioctl(iommufd, 0x3b80, destroy);
	edu_unmap(&edu, IOVA, 3 * PAGE);
#else
	(void)destroy;
#endif
	return 0;
}
