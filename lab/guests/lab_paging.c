// The lab `paging`: a page is pushed out to the page file by others, and comes back (SPEC I10, I14, I35, J16).
#include "lab.h"

enum { KEPT = 0x5a };

void start(void) {
    usize bytes = 16 * MIB;
    u8 *page = allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    // A neighbour that stays in use keeps their page table in RAM: an idle one goes to the page file as well.
    u8 *near = allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    poke(page, KEPT);
    stop_at("written", "page", page);
    u8 *others = allocate(0, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    for (usize at = 0; at < bytes; at += PAGE_BYTES) {
        poke(others + at, (u8)(at / PAGE_BYTES));
        poke(near, (u8)(at / PAGE_BYTES));
    }
    stop_at("pushed-out", "page", page);
    expect(peek(page) == KEPT, "the page holds what was stored to it");
    stop_at("back", "page", page);
    ExitProcess(0);
}
