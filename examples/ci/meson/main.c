/* Meson takes no source from above its project: this is the driver under test. */
#include "../../any-backend.c"
