// The lab `copy-on-write`: a variable's page of the program's own image before it is touched, read, and stored to
// (SPEC C17, E31, I33).
#include "lab.h"

// A page of its own, so that nothing else touches it.
static volatile u8 variable[PAGE_BYTES] __attribute__((aligned(4096))) = {7};

void start(void) {
    stop_at("loaded", "variable", variable);
    expect(peek(variable) == 7, "the variable begins with what the file has");
    stop_at("read", "variable", variable);
    poke(variable, 8);
    stop_at("written", "variable", variable);
    ExitProcess(0);
}
