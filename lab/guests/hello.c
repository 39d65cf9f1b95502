// Prints one line and ends with exit code 0.
#include "guest.h"

void start(void) {
    say("Hello from a Windows program.");
    ExitProcess(0);
}
