// Ends with the number on its command line as exit code; 0 without one.
#include "guest.h"

void start(void) { ExitProcess((u32)number_argument(0)); }
