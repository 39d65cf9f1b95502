// Writes to a committed read-only page with nobody to handle it: dies of an access violation (SPEC E1, E5).
#include "guest.h"

void start(void) {
    u8 *page = allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY);
    put("writing to the read-only byte at ");
    put_hex((usize)page + 0x123);
    end_line();
    poke(page + 0x123, 1);
    say("still alive: the page was not protected");
    ExitProcess(0);
}
