// Threads: their making and end, what is their own, who runs when, and waits for what.
#include "threads.h"

static u32 CALL add_one(void *argument) {
    return (u32)(usize)argument + 1;
}

static u32 CALL leave(void *argument) {
    ExitThread((u32)(usize)argument);
}

static u32 CALL spin(void *argument) {
    for (;;) ++*(volatile u32 *)argument;
    return 0;
}

static void ends(void) {
    say("how threads end");
    u32 id = 0;
    Handle thread = CreateThread(0, 0, add_one, (void *)41, CREATE_SUSPENDED, &id);
    say_if(id == GetThreadId(thread) && id != GetCurrentThreadId(), "it has an id of its own");
    say_if(exit_code(thread) == STILL_ACTIVE, "it is still active");
    say_if(WaitForSingleObject(thread, 20) == WAIT_TIMEOUT, "a wait for it ends by time");
    say_number("it was suspended so often:", ResumeThread(thread));
    say_number("it returned", end_of(thread));
    say_number("another left with", end_of(begin(leave, (void *)77)));
    volatile u32 turns = 0;
    thread = begin(spin, (void *)&turns);
    while (turns < 1000) SwitchToThread();
    say_if(TerminateThread(thread, 99), "one that never ends was ended");
    say_number("it ended with", end_of(thread));
}

enum { WORKERS = 6, ROUNDS = 200 };

static u32 slot;
static u32 mixed_up;

static u32 CALL keep(void *argument) {
    for (u32 round = 0; round < ROUNDS; round++) {
        if (!TlsSetValue(slot, (void *)((usize)argument + round))) mixed_up++;
        if (round % 16 == 0) Sleep(1);
        for (volatile u32 i = 0; i < 300; i++) continue;
        if (TlsGetValue(slot) != (void *)((usize)argument + round)) mixed_up++;
    }
    return 0;
}

static void own_slots(void) {
    say("slots");
    slot = TlsAlloc();
    TlsSetValue(slot, (void *)5);
    Handle threads[WORKERS];
    for (usize i = 0; i < WORKERS; i++) threads[i] = begin(keep, (void *)(i * 1000));
    if (WaitForMultipleObjects(WORKERS, threads, 1, INFINITE) != WAIT_OBJECT_0) fail("WaitForMultipleObjects");
    say_number("values mixed up:", mixed_up);
    say_number("the first thread's own:", (usize)TlsGetValue(slot));
    for (u32 i = 0; i < WORKERS; i++) CloseHandle(threads[i]);
    TlsFree(slot);
}

// Registers are a thread's own: sums in registers, on the FPU and in SSE, while slices end anywhere.
static u32 CALL sum(void *argument) {
    u32 whole = (u32)(usize)argument;
    double broken = whole;
    for (u32 i = 0; i < 400000; i++) {
        whole = whole * 1664525 + 1013904223;
        broken = broken * 0.5 + (double)(whole >> 16);
    }
    return whole ^ (u32)broken;
}

static void own_registers(void) {
    say("registers");
    u32 alone[3], wrong = 0;
    Handle threads[3];
    for (usize i = 0; i < 3; i++) alone[i] = end_of(begin(sum, (void *)(i + 1)));
    for (usize i = 0; i < 3; i++) threads[i] = begin(sum, (void *)(i + 1));
    for (usize i = 0; i < 3; i++) wrong += end_of(threads[i]) != alone[i];
    say_number("sums that differ when made side by side:", wrong);
}

static volatile u32 order[8], places;

static u32 CALL take_place(void *argument) {
    order[places++] = (u32)(usize)argument;
    return 0;
}

static void priorities(void) {
    say("priorities");
    Handle threads[3];
    i32 wanted[3] = {-1, 1, 0};
    for (usize i = 0; i < 3; i++) {
        threads[i] = begin_suspended(take_place, (void *)i);
        if (!SetThreadPriority(threads[i], wanted[i])) fail("SetThreadPriority");
        say_if(GetThreadPriority(threads[i]) == wanted[i], "it is as it was set");
    }
    // Only the middle one is above this thread: it runs at once.
    ResumeThread(threads[0]);
    ResumeThread(threads[1]);
    say_number("places taken at once:", places);
    ResumeThread(threads[2]);
    for (u32 i = 0; i < 3; i++) end_of(threads[i]);
    for (u32 i = 0; i < 3; i++) say_number("place taken by", order[i]);
    say_if(!SetThreadPriority((Handle)-2, 3), "there is no such priority");
}

static void times(void) {
    say("time");
    u32 before = GetTickCount();
    Sleep(500);
    u32 slept = GetTickCount() - before;
    say_if(slept >= 484 && slept <= 520, "half a second is half a second");
    Handle never = new_event(0);
    before = GetTickCount();
    say_if(WaitForSingleObject(never, 300) == WAIT_TIMEOUT, "a wait for nothing ends by time");
    u32 waited = GetTickCount() - before;
    say_if(waited >= 284 && waited <= 320, "and takes as long as it should");
    CloseHandle(never);
}

void start(void) {
    ends();
    own_slots();
    own_registers();
    priorities();
    times();
    ExitProcess(0);
}
