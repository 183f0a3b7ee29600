/* Opens a file and reads it: calls that are the same on any file. */
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char bytes[64];
	int fd = open(argc > 1 ? argv[1] : "", O_RDONLY);

	return read(fd, bytes, sizeof(bytes)) <= 0;
}
