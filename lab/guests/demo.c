// A tour for a reader: reserves far more than RAM, touches part of it, meets a guard page, writes write-copy data.
#include "guest.h"

enum { TOUCHED_MIB = 64, STEPS = 6 };

static volatile u32 counter = 41;
static u8 *read_only_page;
static volatile usize last_address;
static volatile u32 last_code;

static u32 step;

static void begin_step(const char *title) {
    step++;
    end_line();
    put_decimal(step);
    put(" of ");
    put_decimal(STEPS);
    put(". ");
    say(title);
}

static void put_mib(usize mib) {
    if (mib >= 10240) {
        put_decimal(mib / 1024);
        put(" GiB");
    } else {
        put_decimal(mib);
        put(" MiB");
    }
}

static i32 CALL handler(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    last_code = record->code;
    last_address = record->parameters[1];
    if (record->code == STATUS_GUARD_PAGE_VIOLATION) return CONTINUE_EXECUTION;
    if (record->code != STATUS_ACCESS_VIOLATION) return CONTINUE_SEARCH;
    if (last_address - (usize)read_only_page >= PAGE_BYTES) return CONTINUE_SEARCH;
    protect(read_only_page, PAGE_BYTES, PAGE_READWRITE);
    return CONTINUE_EXECUTION;
}

// At least four times the RAM, or as much as a 32-bit address space has in one piece.
static usize reserve_mib(usize ram_mib) {
    if (sizeof(usize) == 4) return 1024;
    return ram_mib * 4 > 65536 ? ram_mib * 4 : 65536;
}

static usize reserve(u8 **base) {
    MemoryStatus status;
    status.length = sizeof status;
    if (!GlobalMemoryStatusEx(&status)) fail("GlobalMemoryStatusEx");
    usize ram_mib = (usize)(status.physical_total >> 20);
    usize mib = reserve_mib(ram_mib);
    *base = allocate(0, mib * MIB, MEM_RESERVE, PAGE_READWRITE);
    put("   This machine has ");
    put_mib(ram_mib);
    put(" of RAM. The program reserved ");
    put_mib(mib);
    put(" at ");
    put_hex((usize)*base);
    say(".");
    say("   A reservation is only a promise of addresses: it takes no memory.");
    return mib;
}

static void touch(u8 *base) {
    usize pages = TOUCHED_MIB * MIB / PAGE_BYTES;
    usize wrong = 0;
    allocate(base, TOUCHED_MIB * MIB, MEM_COMMIT, PAGE_READWRITE);
    for (usize page = 0; page < pages; page++) {
        volatile usize *word = (volatile usize *)(base + page * PAGE_BYTES);
        wrong += *word != 0;
        *word = page;
    }
    for (usize page = 0; page < pages; page++) wrong += *(volatile usize *)(base + page * PAGE_BYTES) != page;
    put("   ");
    put_decimal(pages);
    put(" pages (");
    put_mib(TOUCHED_MIB);
    put(") were committed and touched: each was zero at first, and ");
    say(wrong == 0 ? "each kept what was written." : "SOME DID NOT KEEP WHAT WAS WRITTEN.");
    if (wrong != 0) ExitProcess(1);
}

static void meet_guard(void) {
    u8 *page = allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    last_code = 0;
    poke(page + 0x345, 1);
    put("   The first touch of a guard page raised exception ");
    put_hex(last_code);
    put(" for the byte at ");
    put_hex(last_address);
    say(".");
    if (last_code != STATUS_GUARD_PAGE_VIOLATION || last_address != (usize)page + 0x345) fail("the guard");
    last_code = 0;
    poke(page + 0x345, 2);
    say(last_code == 0 ? "   The second touch was plain: a guard works once." : "   The guard worked twice?");
}

static void write_read_only(void) {
    read_only_page = allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY);
    last_code = 0;
    poke(read_only_page + 0xabc, 7);
    put("   A write to a read-only page raised exception ");
    put_hex(last_code);
    say(". The program's handler");
    say("   made the page writable, and the same instruction went through.");
    if (last_code != STATUS_ACCESS_VIOLATION || read_only_page[0xabc] != 7) fail("the repair");
}

static void write_copy(void) {
    put("   The program's data page is ");
    put_protection(query((const void *)&counter).protect);
    put(" before its first write, and ");
    counter++;
    put_protection(query((const void *)&counter).protect);
    say(" after:");
    say("   the write went to a private copy, and the program's file stays as it is.");
    if (counter != 42) fail("the copy");
}

static void give_back(u8 *base, usize mib) {
    if (!VirtualFree(base, TOUCHED_MIB * MIB, MEM_DECOMMIT)) fail("VirtualFree");
    put("   Decommitted: ");
    put_state(query(base).state);
    if (!VirtualFree(base, 0, MEM_RELEASE)) fail("VirtualFree");
    put(". Released: ");
    put_state(query(base).state);
    put(". The ");
    put_mib(mib);
    say(" are gone again.");
}

void start(void) {
    u8 *base;
    say("A Windows program looks at its own memory.");
    if (!AddVectoredExceptionHandler(1, handler)) fail("AddVectoredExceptionHandler");

    begin_step("Reserve far more than there is");
    usize mib = reserve(&base);
    begin_step("Commit part of it and touch every page");
    touch(base);
    begin_step("Meet a guard page");
    meet_guard();
    begin_step("Repair a page from an exception handler");
    write_read_only();
    begin_step("Write to copy-on-write data");
    write_copy();
    begin_step("Give everything back");
    give_back(base, mib);

    end_line();
    say("The program ends by itself with exit code 0.");
    ExitProcess(0);
}
