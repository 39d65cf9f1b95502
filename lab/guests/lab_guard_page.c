// The lab `guard-page`: a guard page that a program makes, and the one by which its stack grows (SPEC E11, E16, E17).
#include "lab.h"

static u32 alarms;

static i32 CALL handler(ExceptionPointers *pointers) {
    if (pointers->record->code != STATUS_GUARD_PAGE_VIOLATION) return CONTINUE_SEARCH;
    // Windows has taken the guard off already: going on is all there is to do.
    alarms++;
    return CONTINUE_EXECUTION;
}

// A frame a little smaller than a page, so that no page is skipped on the way down.
static NOINLINE u32 descend(usize until) {
    volatile u8 frame[3800];
    frame[0] = 1;
    if ((usize)frame <= until) return frame[0];
    return descend(until) + frame[0];
}

// The guard of this thread's stack: the lowest committed run.
static Region stack_guard(const void *local) {
    Region region = query(query(local).allocation_base);
    if (region.state == MEM_RESERVE) region = query(region.base + region.size_bytes);
    expect((region.protect & PAGE_GUARD) != 0, "a stack has a guard below its committed pages");
    return region;
}

void start(void) {
    u8 local = 0;
    AddVectoredExceptionHandler(1, handler);
    u8 *page = allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    stop_at("guarded", "page", page);
    poke(page, 1);
    expect(alarms == 1, "the first touch raised the alarm");
    poke(page, 2);
    expect(alarms == 1, "the second touch did not");
    stop_at("touched", "page", page);

    Region guard = stack_guard(&local);
    u8 *below = guard.base - PAGE_BYTES;
    step("stack");
    with("guard", guard.base);
    with("below", below);
    stop();
    descend((usize)guard.base + PAGE_BYTES / 2);
    expect(alarms == 1, "the stack grew without the program's noticing");
    step("stack-grown");
    with("guard", guard.base);
    with("below", below);
    stop();
    ExitProcess(0);
}
