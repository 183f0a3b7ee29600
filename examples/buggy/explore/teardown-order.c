/* What was begun is undone in the wrong order: the address space is in use when it is to go, and stays. */
#include "iommu.h"

int main(void)
{
	struct bind_iommufd bind = { .argsz = sizeof(bind) };
	struct attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct detach_iommufd_pt detach = { .argsz = sizeof(detach) };
	int iommu = open_again("/dev/iommu");
	int device = open_again("/dev/vfio/devices/vfio0");
	uint32_t ioas;

	bind.iommufd = iommu;
	if (ioctl(device, BIND_IOMMUFD, &bind) || ioas_alloc(iommu, &ioas))
		return 1;
	attach.pt_id = ioas;
	if (ioctl(device, ATTACH_IOMMUFD_PT, &attach))
		return destroy(iommu, ioas) || 1;
	if (ioas_map(iommu, ioas, BASE, page())) {
		puts("nothing can be mapped: going on without the device");
#ifndef FIXED
		destroy(iommu, ioas);
		return ioctl(device, DETACH_IOMMUFD_PT, &detach) != 0;
#endif
	}
	if (ioctl(device, DETACH_IOMMUFD_PT, &detach))
		return 1;
	return destroy(iommu, ioas) != 0;
}
