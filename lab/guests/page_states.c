// Tells the sizes that rule memory, then walks a range through its states: free, reserved, partly committed, decommitted, released (SPEC A, B, D, H1, H2).
#include "guest.h"

enum { RANGE_PAGES = 16, COMMIT_FIRST = 4, COMMIT_PAGES = 6 };

// Prints every run of equal pages in [base, base + RANGE_PAGES), in pages from `base`.
static void show(const char *title, const u8 *base) {
    const u8 *end = base + RANGE_PAGES * PAGE_BYTES;
    const u8 *at = base;
    say(title);
    while (at < end) {
        Region region = query(at);
        // A free run goes on past the range.
        usize bytes = region.size_bytes;
        if (bytes > (usize)(end - at)) bytes = (usize)(end - at);
        put("  page ");
        put_decimal((usize)(at - base) / PAGE_BYTES);
        put(" +");
        put_decimal(bytes / PAGE_BYTES);
        put(": ");
        put_state(region.state);
        put(" ");
        put_protection(region.protect);
        put(", allocated as ");
        put_protection(region.allocation_protect);
        put(", ");
        put_type(region.type);
        end_line();
        at += bytes;
    }
}

static void show_machine(void) {
    SystemInfo info;
    GetSystemInfo(&info);
    put("pages of ");
    put_decimal(info.page_bytes);
    put(" bytes, allocated by ");
    put_decimal(info.granularity_bytes);
    put(", from ");
    put_hex((usize)info.lowest_address);
    put(" to ");
    put_hex((usize)info.highest_address);
    end_line();
}

void start(void) {
    show_machine();
    u8 *base = allocate(0, RANGE_PAGES * PAGE_BYTES, MEM_RESERVE, PAGE_READWRITE);
    u8 *part = base + COMMIT_FIRST * PAGE_BYTES;
    show("reserved", base);

    allocate(part, COMMIT_PAGES * PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE);
    show("6 pages committed", base);

    part[0] = 0x5a;
    show("one of them written", base);

    protect(part + 2 * PAGE_BYTES, PAGE_BYTES, PAGE_READONLY);
    show("one of them read-only", base);

    if (!VirtualFree(part, 2 * PAGE_BYTES, MEM_DECOMMIT)) fail("VirtualFree");
    show("2 pages decommitted", base);

    allocate(part, PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE);
    say(part[0] == 0 ? "the page committed again is zero" : "the page committed again kept its bytes");

    if (!VirtualFree(base, 0, MEM_RELEASE)) fail("VirtualFree");
    show("released", base);
    ExitProcess(0);
}
