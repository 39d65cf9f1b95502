// Never ends: for time limits.
#include "guest.h"

void start(void) {
    for (;;) __asm__ volatile("");
}
