// Pushes the stack 200 KiB down, page by page through its guard, and shows how its limit moved (SPEC E16, E17).
#include "guest.h"

enum { DEPTH_BYTES = 200 * 1024 };

// The lowest committed address of this thread's stack, as the thread environment block has it.
static u8 *stack_limit_of_teb(void) {
    u8 *limit;
#ifdef __x86_64__
    __asm__ volatile("movq %%gs:0x10, %0" : "=r"(limit));
#else
    __asm__ volatile("movl %%fs:0x8, %0" : "=r"(limit));
#endif
    return limit;
}

// Prints the runs of the stack from its low end up, and returns where its committed part begins.
static usize show(const char *title, const void *local) {
    u8 *at = query(local).allocation_base;
    u8 *limit = 0;
    const u8 *bottom = at;
    say(title);
    for (Region region = query(at); region.allocation_base == bottom; region = query(at)) {
        put("  ");
        put_state(region.state);
        put(" ");
        put_protection(region.protect);
        // How far a fresh stack is committed is the loader's choice, so sizes of runs are only told for guards.
        if (region.protect & PAGE_GUARD) {
            put(" ");
            put_decimal(region.size_bytes / 1024);
            put(" KiB");
        }
        end_line();
        if (region.state == MEM_COMMIT && !(region.protect & PAGE_GUARD)) limit = region.base;
        at = region.base + region.size_bytes;
    }
    say(limit == stack_limit_of_teb() ? "  StackLimit is the first committed page" : "  StackLimit is elsewhere");
    return (usize)limit;
}

// A frame a little smaller than a page, so that no page is skipped on the way down.
static NOINLINE u32 descend(usize until) {
    volatile u8 frame[3800];
    frame[0] = 1;
    if ((usize)frame <= until) return frame[0];
    return descend(until) + frame[0];
}

void start(void) {
    u8 local = 0;
    usize depth = (usize)&local - DEPTH_BYTES;
    usize before = show("before", &local);
    u32 frames = descend(depth);
    say(frames >= DEPTH_BYTES / PAGE_BYTES ? "went 200 KiB down" : "did not go down");
    usize after = show("after", &local);
    say(after <= depth ? "the limit moved past the depth" : "the limit stayed above the depth");
    // A loader that committed more at the start has less to grow by.
    put("limit moved by ");
    put_decimal((before - after) / 1024);
    put(" KiB");
    end_line();
    ExitProcess(after < before && after <= depth ? 0 : 1);
}
