// Starts more and more: threads that never end without an argument, or with argument 1 processes that each start the next.
#include "processes.h"

static u32 CALL rest(void *argument) {
    (void)argument;
    Sleep(INFINITE);
    return 0;
}

static void threads(void) {
    u32 started = 0;
    while (CreateThread(0, 0, rest, 0, 0, 0)) started++;
    say_number("threads started:", started);
    say_number("the next one failed with", GetLastError());
    ExitProcess(3);
}

// Each process waits for the one that it started, so that all of them live at one time.
static void processes(usize depth) {
    char line[] = "swarm.exe 0000";
    for (usize i = 0, left = depth + 1; i < 4; i++, left /= 10) line[sizeof line - 2 - i] = (char)('0' + left % 10);
    StartupInfo startup = {.size = sizeof startup};
    ProcessInformation made;
    if (!CreateProcessA(0, line, 0, 0, 0, 0, 0, 0, &startup, &made)) {
        say_number("processes in a row:", depth);
        say_number("the next one failed with", GetLastError());
        ExitProcess(3);
    }
    WaitForSingleObject(made.process, INFINITE);
    u32 code;
    GetExitCodeProcess(made.process, &code);
    ExitProcess(code);
}

void start(void) {
    usize depth = number_argument(0);
    if (depth == 0) threads();
    processes(depth);
}
