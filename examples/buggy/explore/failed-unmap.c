/* Stale bookkeeping: a slot whose unmap has failed is given out as free. */
#include "iommu.h"

static int is_used[2];

/* A slot that the books say is free: should it be taken again and again, they are wrong. */
static int take(int iommu, uint32_t ioas, void *memory)
{
	for (int slot = 0; slot < 2; slot++) {
		int rc = EEXIST;

		if (is_used[slot])
			continue;
		for (int tries = 0; rc == EEXIST; tries++) {
			if (tries == 3)
				abort();
			rc = ioas_map(iommu, ioas, BASE + slot * PAGE, memory);
		}
		if (rc)
			exit(1);
		is_used[slot] = 1;
		return slot;
	}
	exit(1);
}

static void give(int iommu, uint32_t ioas, int slot)
{
	int rc = ioas_unmap(iommu, ioas, BASE + slot * PAGE);
#ifdef FIXED
	if (rc)
		return; /* still mapped: not to be used any more */
#endif
	(void)rc;
	is_used[slot] = 0;
}

int main(void)
{
	int iommu = open_again("/dev/iommu");
	void *memory = page();
	uint32_t ioas;

	if (ioas_alloc(iommu, &ioas))
		return 1;
	give(iommu, ioas, take(iommu, ioas, memory));
	give(iommu, ioas, take(iommu, ioas, memory));
	return destroy(iommu, ioas) != 0;
}
