// Copies standard input to standard output until it ends.
#include "guest.h"

static u8 buffer[16 * 1024];

static void write_all(Handle output, const u8 *bytes, u32 count) {
    while (count > 0) {
        u32 done = 0;
        if (!WriteFile(output, bytes, count, &done, 0) || done == 0) ExitProcess(1);
        bytes += done;
        count -= done;
    }
}

void start(void) {
    Handle input = GetStdHandle((u32)STD_INPUT);
    Handle output = GetStdHandle((u32)STD_OUTPUT);
    u32 count = 0;
    // A closed pipe ends in failure, a file in zero bytes: both mean the end.
    while (ReadFile(input, buffer, sizeof buffer, &count, 0) && count > 0) write_all(output, buffer, count);
    ExitProcess(0);
}
