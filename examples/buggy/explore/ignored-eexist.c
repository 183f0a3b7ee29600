/* EEXIST taken for "mapped already": the mapping is in the books twice, and is freed twice. */
#include "iommu.h"

struct mapping {
	uint64_t iova;
};

static struct mapping *map(int iommu, uint32_t ioas, uint64_t iova, void *memory, struct mapping *before)
{
	struct mapping *new = malloc(sizeof(*new));
	int rc = ioas_map(iommu, ioas, iova, memory);

	new->iova = iova;
	if (!rc)
		return new;
	free(new);
#ifndef FIXED
	if (rc == EEXIST)
		return before;
#endif
	return NULL;
}

int main(void)
{
	int iommu = open_again("/dev/iommu");
	struct mapping *one, *two;
	void *memory = page();
	uint32_t ioas;

	if (ioas_alloc(iommu, &ioas))
		return 1;
	one = map(iommu, ioas, BASE, memory, NULL);
	if (!one)
		return 1;
	two = map(iommu, ioas, BASE + PAGE, memory, one);
	free(one);
	free(two);
	return destroy(iommu, ioas) || !two;
}
