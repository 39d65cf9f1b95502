// The lab `shared-memory`: two instances count in a plain global, which is each one's own, and in one that they share
// (SPEC G21, G24).
#include "lab_pair.h"

enum { COUNT = 1000, YIELD_EACH = 50 };

// Each on a page of its own, so that nothing else touches them.
static volatile u32 plain[PAGE_BYTES / 4] __attribute__((aligned(4096))) = {0, 1};
static volatile u32 common[PAGE_BYTES / 4] __attribute__((section(".shared"), shared, aligned(4096))) = {0, 1};

static void look(const char *first, const char *second) {
    if (is_first()) {
        step(first);
        with("first-plain", plain);
        with("first-common", common);
    } else {
        step(second);
        with("second-plain", plain);
        with("second-common", common);
    }
    stop();
}

static void count(void) {
    for (u32 i = 1; i <= COUNT; i++) {
        plain[0]++;
        // InterlockedIncrement, as compilers make it.
        __sync_fetch_and_add(&common[0], 1);
        if (i % YIELD_EACH == 0) SwitchToThread();
    }
}

void start(void) {
    u32 first = (u32)is_first();
    expect(plain[0] == 0 && (!first || common[0] == 0), "both begin at zero");
    wait_for_turn(first ? 0 : 1);
    look("first-started", "second-started");
    give_turn(first ? 1 : 2);
    wait_for_turn(2);
    count();
    // Each adds one when it has counted.
    __sync_fetch_and_add(&turn, 1);
    wait_for_turn(first ? 4 : 5);
    expect(plain[0] == COUNT, "nobody else counted in the plain one");
    expect(common[0] == 2 * COUNT, "both counted in the common one, and no step was lost");
    look("first-counted", "second-counted");
    if (first) give_turn(5);
    ExitProcess(0);
}
