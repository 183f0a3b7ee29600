/* A request that could not be mapped is completed by who maps it, and again by who asked. */
#include "iommu.h"

struct request {
	void *memory;
	char *name;
};

static void complete(struct request *request)
{
	free(request->name);
}

static int submit(int iommu, uint32_t ioas, struct request *request)
{
	int rc = ioas_map(iommu, ioas, BASE, request->memory);

#ifndef FIXED
	if (rc)
		complete(request);
#endif
	return rc;
}

int main(void)
{
	struct request request = { .memory = page(), .name = strdup("a request") };
	int iommu = open_again("/dev/iommu");
	uint32_t ioas;
	int rc;

	if (ioas_alloc(iommu, &ioas))
		return 1;
	rc = submit(iommu, ioas, &request);
	complete(&request);
	return destroy(iommu, ioas) || rc;
}
