// Locks pages up to the limit and past it, empties its working set, and counts what commit, touch and decommit cost (SPEC J1, J2, J5, J7, J8, J10, J19, J21, J24, X11, X12).
#include "guest.h"

enum { PAGES = 400, PART = 16, LIST_WORDS = 4096 };

typedef struct {
    u32 bytes;
    u32 faults;
    usize peak_working_set;
    usize working_set;
    usize peak_paged_pool;
    usize paged_pool;
    usize peak_nonpaged_pool;
    usize nonpaged_pool;
    usize pagefile;
    usize peak_pagefile;
    usize private_usage;
} MemoryCounters;
SIZE_IS(MemoryCounters, 80, 44);

typedef i32 CALL CountersFunction(Handle process, MemoryCounters *counters, u32 bytes);
typedef i32 CALL ListFunction(Handle process, usize *list, u32 bytes);
typedef i32 CALL EmptyFunction(Handle process);

static CountersFunction *get_counters;
static ListFunction *get_list;
static EmptyFunction *empty_working_set;
static usize list[LIST_WORDS];

#define SELF ((Handle)(usize)-1)

// Windows 7 moved the functions of psapi.dll into kernel32, with a prefix.
static void *find(const char *name) {
    void *function = GetProcAddress(GetModuleHandleA("kernel32.dll"), name);
    if (!function) function = GetProcAddress(LoadLibraryA("psapi.dll"), name + 3);
    if (!function) fail(name);
    return function;
}

static MemoryCounters counters(void) {
    MemoryCounters now;
    if (!get_counters(SELF, &now, sizeof now)) fail("GetProcessMemoryInfo");
    return now;
}

static void touch(u8 *base, u32 pages) {
    for (u32 page = 0; page < pages; page++) poke(base + page * PAGE_BYTES, (u8)(page + 1));
}

// How many of the pages are in the list of resident pages.
static u32 resident(const u8 *base, u32 pages) {
    usize first = (usize)base / PAGE_BYTES;
    u32 found = 0;
    if (!get_list(SELF, list, sizeof list)) fail("QueryWorkingSet");
    for (usize i = 1; i <= list[0]; i++) found += list[i] / PAGE_BYTES - first < pages;
    return found;
}

static void put_signed(usize after, usize before) {
    put(after < before ? "-" : "+");
    put_decimal((after < before ? before - after : after - before) / PAGE_BYTES);
}

// The first round touches everything that counting itself needs, and says nothing.
static i32 silent = 1;

// Commit, working set and faults since before, in pages.
static void changed(const char *what, MemoryCounters before) {
    MemoryCounters now = counters();
    if (silent) return;
    put(what);
    put(": private ");
    put_signed(now.private_usage, before.private_usage);
    put(", working set ");
    put_signed(now.working_set, before.working_set);
    put(", faults +");
    put_decimal(now.faults - before.faults);
    end_line();
}

static void told(const char *what, i32 done) {
    u32 error = GetLastError();
    put(what);
    if (done) {
        put(": done");
    } else {
        put(": error ");
        put_decimal(error);
    }
    end_line();
}

static void show_limits(void) {
    usize minimum, maximum;
    if (!GetProcessWorkingSetSize(SELF, &minimum, &maximum)) fail("GetProcessWorkingSetSize");
    put("limits ");
    put_decimal(minimum / PAGE_BYTES);
    put(" to ");
    put_decimal(maximum / PAGE_BYTES);
    say(" pages");
}

static void show_locks(void) {
    u8 *base = allocate(0, PAGES * PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    show_limits();
    told("lock 30 pages", VirtualLock(base, 30 * PAGE_BYTES));
    told("lock them again", VirtualLock(base, 30 * PAGE_BYTES));
    told("lock 400 pages", VirtualLock(base, PAGES * PAGE_BYTES));
    told("unlock 31 pages", VirtualUnlock(base, 31 * PAGE_BYTES));
    told("unlock 30 pages", VirtualUnlock(base, 30 * PAGE_BYTES));
    told("unlock them again", VirtualUnlock(base, 30 * PAGE_BYTES));
    told("lock nothing", VirtualLock(base, 0));
    told("minimum above maximum", SetProcessWorkingSetSize(SELF, 100 * PAGE_BYTES, 50 * PAGE_BYTES));
    told("500 to 1000 pages", SetProcessWorkingSetSize(SELF, 500 * PAGE_BYTES, 1000 * PAGE_BYTES));
    show_limits();
    told("lock 400 pages", VirtualLock(base, PAGES * PAGE_BYTES));
    protect(base + PAGE_BYTES, PAGE_BYTES, PAGE_READWRITE | PAGE_GUARD);
    told("lock a guard page", VirtualLock(base + PAGE_BYTES, 1));
    told("and once more", VirtualLock(base + PAGE_BYTES, 1));
    if (!VirtualFree(base, PAGE_BYTES, MEM_DECOMMIT)) fail("VirtualFree");
    told("lock a page that is gone", VirtualLock(base, 1));
    if (!VirtualFree(base, 0, MEM_RELEASE)) fail("VirtualFree");
}

static void show_counters(void) {
    MemoryCounters before = counters();
    u8 *base = allocate(0, MIB, MEM_RESERVE, PAGE_READWRITE);
    changed("reserve 256 pages", before);
    before = counters();
    allocate(base, PART * PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE);
    changed("commit 16 pages", before);
    before = counters();
    touch(base, PART);
    changed("touch 16 pages", before);
    before = counters();
    touch(base, PART);
    changed("touch them again", before);
    before = counters();
    if (!VirtualFree(base, PART * PAGE_BYTES, MEM_DECOMMIT)) fail("VirtualFree");
    changed("decommit 16 pages", before);
    if (!VirtualFree(base, 0, MEM_RELEASE)) fail("VirtualFree");
}

static void show_emptying(void) {
    u8 *base = allocate(0, PART * PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    touch(base, PART);
    told("lock 4 of 16 pages", VirtualLock(base, 4 * PAGE_BYTES));
    put_decimal(resident(base, PART));
    say(" of 16 are resident");
    told("empty the working set", empty_working_set(SELF));
    put_decimal(resident(base, PART));
    say(" of 16 are resident");
    u32 same = 0;
    for (u32 page = 0; page < PART; page++) same += base[page * PAGE_BYTES] == page + 1;
    put_decimal(same);
    say(" of 16 hold what was written");
    put_decimal(resident(base, PART));
    say(" of 16 are resident");
    told("no limits at all", SetProcessWorkingSetSize(SELF, (usize)-1, (usize)-1));
    put_decimal(resident(base, PART));
    say(" of 16 are resident");
    show_limits();
}

void start(void) {
    get_counters = (CountersFunction *)find("K32GetProcessMemoryInfo");
    get_list = (ListFunction *)find("K32QueryWorkingSet");
    empty_working_set = (EmptyFunction *)find("K32EmptyWorkingSet");
    show_locks();
    show_counters();
    silent = 0;
    show_counters();
    MemoryCounters small;
    told("counters without room", get_counters(SELF, &small, 8));
    show_emptying();
    ExitProcess(0);
}
