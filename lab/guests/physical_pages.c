// Enables the lock privilege, owns physical pages and swaps what two windows show of them, and fills a large page (SPEC A6, A14, J38 to J44).
#include "guest.h"

enum {
    TOKEN_QUERY = 0x8,
    TOKEN_ADJUST_PRIVILEGES = 0x20,
    PRIVILEGE_ENABLED = 2,
    NOT_ALL_ASSIGNED = 1300,

    MEM_PHYSICAL = 0x400000,
    MEM_LARGE_PAGES = 0x20000000,

    PAGES = 8,
};

typedef struct {
    u32 count;
    u32 number_low;
    i32 number_high;
    u32 attributes;
} Privileges;
SIZE_IS(Privileges, 16, 16);

typedef i32 CALL AdjustFunction(Handle token, i32 disable_all, const Privileges *wanted, u32 bytes, Privileges *before, u32 *needed);
typedef i32 CALL LookupFunction(const char *machine, const char *name, u32 *number);
typedef i32 CALL OpenFunction(Handle process, u32 access, Handle *token);
typedef i32 CALL PagesFunction(Handle process, usize *count, usize *frames);
typedef i32 CALL MapFunction(void *window, usize count, usize *frames);
typedef i32 CALL ScatterFunction(void **pages, usize count, usize *frames);
typedef usize CALL MinimumFunction(void);

static PagesFunction *own_physical_pages, *free_physical_pages;
static MapFunction *map_physical_pages;
static ScatterFunction *scatter_physical_pages;

#define SELF ((Handle)(usize)-1)

static usize frames[PAGES];

static void *find(const char *dll, const char *name) {
    void *function = GetProcAddress(LoadLibraryA(dll), name);
    if (!function) fail(name);
    return function;
}

static void find_functions(void) {
    own_physical_pages = (PagesFunction *)find("kernel32.dll", "AllocateUserPhysicalPages");
    free_physical_pages = (PagesFunction *)find("kernel32.dll", "FreeUserPhysicalPages");
    map_physical_pages = (MapFunction *)find("kernel32.dll", "MapUserPhysicalPages");
    scatter_physical_pages = (ScatterFunction *)find("kernel32.dll", "MapUserPhysicalPagesScatter");
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

static void enable_privilege(void) {
    LookupFunction *lookup = (LookupFunction *)find("advapi32.dll", "LookupPrivilegeValueA");
    OpenFunction *open = (OpenFunction *)find("advapi32.dll", "OpenProcessToken");
    AdjustFunction *adjust = (AdjustFunction *)find("advapi32.dll", "AdjustTokenPrivileges");
    Handle token;
    Privileges wanted = {1, 0, 0, PRIVILEGE_ENABLED};
    if (!lookup(0, "SeLockMemoryPrivilege", &wanted.number_low)) fail("LookupPrivilegeValue");
    if (!open(SELF, TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, &token)) fail("OpenProcessToken");
    if (!adjust(token, 0, &wanted, 0, 0, 0)) fail("AdjustTokenPrivileges");
    say(GetLastError() == NOT_ALL_ASSIGNED ? "the privilege is not held" : "the privilege is enabled");
}

static i32 own_pages(void) {
    usize count = PAGES;
    i32 done = own_physical_pages(SELF, &count, frames);
    told("own 8 physical pages", done);
    return done && count == PAGES;
}

static void put_bytes(const char *what, const u8 *window) {
    put(what);
    for (u32 page = 0; page < PAGES / 2; page++) {
        put(" ");
        put_decimal(window[page * PAGE_BYTES]);
    }
    end_line();
}

static u32 violations;

// An access where no page is mapped: the next page is mapped there.
static i32 CALL map_one(ExceptionPointers *pointers) {
    ExceptionRecord *record = pointers->record;
    if (record->code != STATUS_ACCESS_VIOLATION) return CONTINUE_SEARCH;
    violations++;
    if (!map_physical_pages((void *)(record->parameters[1] & ~(usize)(PAGE_BYTES - 1)), 1, frames)) return CONTINUE_SEARCH;
    return CONTINUE_EXECUTION;
}

static void show_windows(void) {
    usize half = PAGES / 2;
    u8 *a = allocate(0, half * PAGE_BYTES, MEM_RESERVE | MEM_PHYSICAL, PAGE_READWRITE);
    u8 *b = allocate(0, half * PAGE_BYTES, MEM_RESERVE | MEM_PHYSICAL, PAGE_READWRITE);
    told("a window that is read-only", VirtualAlloc(0, PAGE_BYTES, MEM_RESERVE | MEM_PHYSICAL, PAGE_READONLY) != 0);
    if (!map_physical_pages(a, half, frames)) fail("MapUserPhysicalPages");
    if (!map_physical_pages(b, half, frames + half)) fail("MapUserPhysicalPages");
    put_bytes("first A", a);
    for (u32 page = 0; page < half; page++) {
        poke(a + page * PAGE_BYTES, (u8)(10 + page));
        poke(b + page * PAGE_BYTES, (u8)(20 + page));
    }
    put_bytes("A", a);
    put_bytes("B", b);
    told("map a page twice", map_physical_pages(b, 1, frames));
    told("unmap A", map_physical_pages(a, half, 0));
    told("unmap B", map_physical_pages(b, half, 0));
    told("map B's pages at A", map_physical_pages(a, half, frames + half));
    void *pages[PAGES / 2];
    for (u32 page = 0; page < half; page++) pages[page] = b + (half - 1 - page) * PAGE_BYTES;
    told("map A's pages at B, backwards", scatter_physical_pages(pages, half, frames));
    put_bytes("A", a);
    put_bytes("B", b);
    told("unmap B", map_physical_pages(b, half, 0));
    void *handler = AddVectoredExceptionHandler(1, map_one);
    put("read where nothing is mapped: ");
    u8 value = *(volatile u8 *)(b + 2 * PAGE_BYTES);
    RemoveVectoredExceptionHandler(handler);
    put_decimal(value);
    put(", violations ");
    put_decimal(violations);
    end_line();
    u32 old;
    told("protect a window", VirtualProtect(a, PAGE_BYTES, PAGE_READONLY, &old));
    told("release window A", VirtualFree(a, 0, MEM_RELEASE));
    usize count = PAGES;
    told("free the pages", free_physical_pages(SELF, &count, frames));
    count = 1;
    told("free one again", free_physical_pages(SELF, &count, frames));
    told("release window B", VirtualFree(b, 0, MEM_RELEASE));
}

static usize large_page_bytes(void) {
    return ((MinimumFunction *)find("kernel32.dll", "GetLargePageMinimum"))();
}

static void show_large_page(void) {
    usize bytes = large_page_bytes();
    u32 type = MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES;
    told("half a large page", VirtualAlloc(0, bytes / 2, type, PAGE_READWRITE) != 0);
    u8 *large = VirtualAlloc(0, bytes, type, PAGE_READWRITE);
    told("a large page", large != 0);
    if (!large) return;
    usize sum = 0;
    for (usize at = 0; at < bytes; at += PAGE_BYTES) sum += large[at];
    for (usize at = 0; at < bytes; at += PAGE_BYTES) poke(large + at, 1);
    for (usize at = 0; at < bytes; at += PAGE_BYTES) sum += large[at];
    say(sum == bytes / PAGE_BYTES && (usize)large % bytes == 0 ? "it is zero, aligned, and holds what is written" : "it is wrong");
    Region region = query(large + bytes / 2);
    put("it is ");
    put_state(region.state);
    put(" ");
    put_protection(region.protect);
    end_line();
    told("decommit a part", VirtualFree(large, PAGE_BYTES, MEM_DECOMMIT));
    told("release it", VirtualFree(large, 0, MEM_RELEASE));
}

void start(void) {
    find_functions();
    enable_privilege();
    if (own_pages()) show_windows();
    show_large_page();
    ExitProcess(0);
}
