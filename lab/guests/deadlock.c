// Two threads that wait for each other for ever.
#include "threads.h"

static Handle first, second;

static u32 CALL other(void *argument) {
    (void)argument;
    WaitForSingleObject(second, INFINITE);
    Sleep(10);
    WaitForSingleObject(first, INFINITE);
    return 0;
}

void start(void) {
    first = CreateMutexA(0, 1, "first");
    second = CreateMutexA(0, 0, "second");
    Handle thread = begin(other, 0);
    Sleep(5);
    say("waiting");
    WaitForSingleObject(second, INFINITE);
    end_of(thread);
    ExitProcess(0);
}
