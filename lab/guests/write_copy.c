// Shows that a page of program data is copy-on-write until its first write, and constants stay read-only (SPEC C17, G19, G20).
#include "guest.h"

// Volatile, so that both the read and the write reach the page. A volatile constant would be put among the variables.
static volatile u32 variable = 0x11223344;
static const u32 constant = 0x55667788;

static void show(const char *what, const volatile u32 *word) {
    Region region = query((const void *)word);
    put(what);
    put(" holds ");
    put_hex(*word);
    put(" on a page that is ");
    put_protection(region.protect);
    put(", allocated as ");
    put_protection(region.allocation_protect);
    put(", ");
    put_type(region.type);
    end_line();
}

void start(void) {
    show("variable", &variable);
    show("constant", &constant);
    variable = 0x99aabbcc;
    say("variable written");
    show("variable", &variable);
    show("constant", &constant);
    ExitProcess(0);
}
