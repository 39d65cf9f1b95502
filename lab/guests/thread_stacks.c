// Stacks of threads: their sizes, their growth and overflow, each its own; and what another thread's guard does.
#include "threads.h"

#define STATUS_STACK_OVERFLOW 0xC00000FDu

static usize *teb(void) {
#ifdef __x86_64__
    usize *self;
    __asm__("movq %%gs:0x30, %0" : "=r"(self));
#else
    usize *self;
    __asm__("movl %%fs:0x18, %0" : "=r"(self));
#endif
    return self;
}

enum {
    STACK_BASE = 1,
    STACK_LIMIT = 2,
    DEALLOCATION_STACK = sizeof(usize) == 8 ? 0x1478 / 8 : 0xe0c / 4,
};

static void put_region(const Region *region) {
    put("    ");
    put_state(region->state);
    put(" ");
    put_protection(region->state == MEM_COMMIT ? region->protect : 0);
    if (region->state != MEM_COMMIT || region->protect & PAGE_GUARD) {
        put(" ");
        put_decimal(region->size_bytes >> 10);
        put(" KiB");
    }
    end_line();
}

// The layout of the calling thread's stack, from low to high.
static u32 CALL describe(void *argument) {
    u8 *low = (u8 *)teb()[DEALLOCATION_STACK], *high = (u8 *)teb()[STACK_BASE];
    put("  ");
    put(argument);
    put(": ");
    put_decimal((usize)(high - low) >> 10);
    put(" KiB");
    if (query(low).allocation_protect != PAGE_READWRITE) put(", NOT allocated as readwrite");
    end_line();
    for (u8 *at = low; at < high;) {
        Region region = query(at);
        if (region.allocation_base != low) fail("one allocation");
        put_region(&region);
        at = region.base + region.size_bytes;
    }
    return 0;
}

static void sizes(void) {
    static const struct {
        const char *name;
        usize bytes;
        u32 flags;
    } wanted[] = {
        {"nothing asked for", 0, 0},
        {"a commit of 3f00h", 0x3f00, 0},
        {"a commit of 180000h", 0x180000, 0},
        {"a reserve of 3ff000h", 0x3ff000, STACK_SIZE_PARAM_IS_A_RESERVATION},
        {"a reserve of 1000h", 0x1000, STACK_SIZE_PARAM_IS_A_RESERVATION},
    };
    say("sizes");
    for (u32 i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        Handle thread =
            CreateThread(0, wanted[i].bytes, describe, (void *)wanted[i].name, wanted[i].flags, 0);
        if (!thread) fail("CreateThread");
        end_of(thread);
    }
}

// Takes pages of stack one after another, and touches each.
static NOINLINE usize go_down(u32 pages) {
    volatile u8 page[PAGE_BYTES - 128];
    page[0] = (u8)pages;
    usize below = pages > 1 ? go_down(pages - 1) : (usize)page;
    return below + (page[0] - (u8)pages);
}

static volatile u32 turn, moved[2];

static u32 CALL grow(void *argument) {
    u32 me = (u32)(usize)argument;
    usize before = teb()[STACK_LIMIT];
    for (u32 depth = 10; depth <= 40; depth += 10) {
        while (turn % 2 != me) SwitchToThread();
        go_down(depth);
        turn++;
    }
    moved[me] = (u32)((before - teb()[STACK_LIMIT]) >> 12);
    return moved[me] >= 38 && moved[me] <= 42;
}

static void growth(void) {
    say("growth in turn");
    Handle threads[2] = {begin(grow, (void *)0), begin(grow, (void *)1)};
    for (u32 i = 0; i < 2; i++) say_number("the limit moved down as it should:", end_of(threads[i]));
    say_if(moved[0] == moved[1], "by the same in both");
}

static u32 overflows, guards;
static u8 *overflow_page[2];
static usize registers_to_leave_by[8][5];

// Leaves the recursion by a jump, as a language's handler would.
static NORETURN void leave(u32 me) {
    __builtin_longjmp((void **)registers_to_leave_by[me], 1);
}

static volatile u32 overflowing;

static i32 CALL handler(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    if (record->code == STATUS_GUARD_PAGE_VIOLATION) {
        guards++;
        return CONTINUE_EXECUTION;
    }
    if (record->code != STATUS_STACK_OVERFLOW) return CONTINUE_SEARCH;
    overflows++;
    overflow_page[overflowing] = (u8 *)(record->parameters[1] & ~(usize)0xfff);
    leave(overflowing);
}

static u32 CALL overflow(void *argument) {
    u32 me = (u32)(usize)argument;
    while (overflowing != me) SwitchToThread();
    u8 *low = (u8 *)teb()[DEALLOCATION_STACK];
    if (!__builtin_setjmp((void **)registers_to_leave_by[me])) {
        go_down(100000);
        return 100;
    }
    usize left = (usize)(overflow_page[me] - low) >> 12;
    overflowing = me + 1;
    Region region = query(low + PAGE_BYTES);
    if (region.state != MEM_COMMIT || region.protect != PAGE_READWRITE) return 200;
    if (query(low).state != MEM_RESERVE) return 300;
    return (u32)left;
}

static void overflow_in_two(void) {
    say("overflow in two threads");
    Handle threads[2];
    for (usize i = 0; i < 2; i++) {
        threads[i] = CreateThread(0, 0x20000, overflow, (void *)i, STACK_SIZE_PARAM_IS_A_RESERVATION, 0);
    }
    u32 pages[2];
    for (u32 i = 0; i < 2; i++) pages[i] = end_of(threads[i]);
    say_number("overflows", overflows);
    say_number("at page", pages[0]);
    say_number("and at page", pages[1]);
}

static u8 *volatile others_guard;
static volatile u32 touched;

static u32 CALL show_guard(void *argument) {
    (void)argument;
    usize limit = teb()[STACK_LIMIT];
    others_guard = (u8 *)limit - 1;
    while (!touched) SwitchToThread();
    // Nothing grew: this thread's limit is where it was, and its own next step down finds no guard.
    return teb()[STACK_LIMIT] == limit;
}

static void foreign_guard(void) {
    say("another thread's guard");
    Handle thread = begin(show_guard, 0);
    while (!others_guard) SwitchToThread();
    poke(others_guard, 1);
    say_number("guard exceptions", guards);
    say_if(query(others_guard).protect == PAGE_READWRITE, "the guard is gone");
    say_if(query(others_guard - PAGE_BYTES).state == MEM_RESERVE, "nothing grew");
    touched = 1;
    say_number("the owner's limit is where it was:", end_of(thread));
}

static u32 CALL guarantee(void *argument) {
    u32 bytes = 0x5000;
    if (!SetThreadStackGuarantee(&bytes) || bytes != 0) return 1;
    bytes = 0;
    if (!SetThreadStackGuarantee(&bytes) || bytes != 0x5000) return 2;
    go_down(20);
    u8 *limit = (u8 *)teb()[STACK_LIMIT];
    Region region = query(limit - 6 * PAGE_BYTES);
    (void)argument;
    if (query(limit - 7 * PAGE_BYTES).state != MEM_RESERVE) return 3;
    return (u32)(region.size_bytes >> 12) * 10 + (region.protect == (PAGE_READWRITE | PAGE_GUARD));
}

static u8 *volatile last_stack;

static u32 CALL tell_stack(void *argument) {
    last_stack = (u8 *)teb()[DEALLOCATION_STACK];
    (void)argument;
    return 0;
}

static void afterwards(void) {
    say("afterwards");
    end_of(begin(tell_stack, 0));
    say_if(query(last_stack).state == MEM_FREE, "a stack goes with its thread");
    u8 *first = last_stack;
    u32 same = 0;
    for (u32 i = 0; i < 20; i++) {
        end_of(begin(tell_stack, 0));
        same += last_stack == first;
    }
    say_number("and its place is used again, of 20 times:", same);
}

void start(void) {
    AddVectoredExceptionHandler(1, handler);
    sizes();
    growth();
    overflow_in_two();
    foreign_guard();
    say("a guarantee of 5 pages");
    say_number("guard pages and whether they are, as one number:", end_of(begin(guarantee, 0)));
    afterwards();
    ExitProcess(0);
}
