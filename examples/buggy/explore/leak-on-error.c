/* A part that can be done without leaves its address space behind when it cannot be set up. */
#include "iommu.h"

/* 0: it is not to be had. */
static uint32_t optional_part(int iommu, void *memory, int *failed)
{
	uint32_t ioas;

	if (ioas_alloc(iommu, &ioas))
		return 0;
	if (!ioas_map(iommu, ioas, BASE, memory))
		return ioas;
#ifdef FIXED
	*failed = destroy(iommu, ioas);
#endif
	return 0;
}

int main(void)
{
	int failed = 0, iommu = open_again("/dev/iommu");
	uint32_t part = optional_part(iommu, page(), &failed);

	if (part)
		failed = destroy(iommu, part);
	return failed != 0;
}
