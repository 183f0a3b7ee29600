/* An unmap that works and has removed nothing: the range is taken for free. */
#include "iommu.h"

int main(void)
{
	int group, container = container_of_group(&group);
	int64_t unmapped;
	void *memory = page();
	int rc = EEXIST;

	if (type1_map(container, BASE, memory))
		return 1;
	unmapped = type1_unmap(container, BASE);
	if (unmapped < 0)
		return 1;
#ifdef FIXED
	if (unmapped != PAGE)
		return 1;
#endif
	for (int tries = 0; rc == EEXIST; tries++) {
		if (tries == 3)
			abort(); /* free, and taken */
		rc = type1_map(container, BASE, memory);
	}
	if (rc)
		return 1;
	return type1_unmap(container, BASE) != PAGE;
}
