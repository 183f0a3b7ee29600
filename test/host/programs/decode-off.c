/* Switches the memory decode of a device off, and loads from its registers, which is a SIGBUS. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static void switch_decode_off(int device)
{
	uint16_t command = 4;

	pwrite(device, &command, sizeof(command), (7ull << 40) + 4);
}

int main(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR);
	int group = open("/dev/vfio/0", O_RDWR);
	volatile uint32_t *registers;
	int device;

	ioctl(group, 0x3b68, &container);
	ioctl(container, 0x3b66, 3);
	device = ioctl(group, 0x3b6a, "0000:00:04.0");
	registers = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	switch_decode_off(device);
	return registers[0] == 0;
}
