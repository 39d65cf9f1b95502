// The lab `page-states`: one page is reserved, committed, touched, decommitted and released (SPEC A, B, I18, I31).
#include "lab.h"

void start(void) {
    u8 *page = allocate(0, 16 * PAGE_BYTES, MEM_RESERVE, PAGE_READWRITE);
    stop_at("reserved", "page", page);
    allocate(page, PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE);
    stop_at("committed", "page", page);
    poke(page, 1);
    stop_at("touched", "page", page);
    if (!VirtualFree(page, PAGE_BYTES, MEM_DECOMMIT)) fail("VirtualFree");
    stop_at("decommitted", "page", page);
    if (!VirtualFree(page, 0, MEM_RELEASE)) fail("VirtualFree");
    stop_at("released", "page", page);
    ExitProcess(0);
}
