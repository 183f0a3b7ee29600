/*
 * Buffers are mapped one by one and never unmapped; an IOAS is never destroyed; an interrupt keeps its eventfd. -DFIXED:
 * everything is undone.
 */
#include "edu.h"
#include <sys/eventfd.h>

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

/* By an eventfd, or no more. */
static void interrupt(struct edu *edu, int eventfd)
{
	struct {
		struct vfio_irq_set set;
		int eventfd;
	} irq = { {
		.argsz = eventfd < 0 ? sizeof(irq.set) : sizeof(irq), .index = VFIO_PCI_MSI_IRQ_INDEX,
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER |
			 (eventfd < 0 ? VFIO_IRQ_SET_DATA_NONE : VFIO_IRQ_SET_DATA_EVENTFD),
		.count = eventfd < 0 ? 0 : 1,
	}, eventfd };

	ioctl(edu->device, VFIO_DEVICE_SET_IRQS, &irq);
}

int main(void)
{
	struct edu edu = edu_open();
	int iommufd = open("/dev/iommu", O_RDWR);
	uint32_t destroy[2] = { sizeof(destroy), new_ioas(iommufd) };

	fill(&edu, 3);
	interrupt(&edu, eventfd(0, 0));
	edu_copy(&edu, IOVA, 0);
#ifdef FIXED
	ioctl(iommufd, 0x3b80, destroy);
	edu_unmap(&edu, IOVA, 3 * PAGE);
	interrupt(&edu, -1);
#else
	(void)destroy;
#endif
	return 0;
}
