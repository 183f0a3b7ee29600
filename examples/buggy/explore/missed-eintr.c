/* An open that a signal has ended is taken for one that cannot be. */
#include "iommu.h"

int main(void)
{
	int iommu = open("/dev/iommu", O_RDWR);
	uint32_t ioas;

#ifdef FIXED
	while (iommu < 0 && errno == EINTR)
		iommu = open("/dev/iommu", O_RDWR);
#endif
	if (iommu < 0 && (errno == ENODEV || errno == ENOENT || errno == EACCES))
		return 1; /* a machine without an IOMMU */
	if (iommu < 0)
		abort();
	if (ioas_alloc(iommu, &ioas))
		return 1;
	return destroy(iommu, ioas) != 0;
}
