// Asks for memory in ways that do well and badly when there is none; argument 1 tells who calls whom, 2 reads pages of
// its own file.
#include "guest.h"

// Nothing of the compiler's cleverness goes past such a function, and EBP leads from it to its caller on x86.
#define FRAMED __attribute__((noipa, optimize("no-omit-frame-pointer")))

enum { ENTRIES = 16, RETRIES = 3, FILE_PAGES = 4 };

#define STATUS_IN_PAGE_ERROR 0xC0000006u

static Handle heap;

// Has a fallback: nobody notices.
static void careful(void) {
    static u8 spare[64];
    u8 *block = HeapAlloc(heap, 0, sizeof spare);
    u8 *work = block ? block : spare;
    for (u32 at = 0; at < sizeof spare; at++) work[at] = (u8)at;
    if (block) HeapFree(heap, 0, block);
    say("careful: done");
}

// Says so and gives up.
static u8 *honest(void) {
    u8 *table = VirtualAlloc(0, MIB, MEM_RESERVE, PAGE_READWRITE);
    if (table) return table;
    put("honest: no table, last error ");
    put_decimal(GetLastError());
    end_line();
    ExitProcess(3);
}

// Never looks whether a commit worked.
static void careless(u8 *table) {
    u8 *page = table + 5 * PAGE_BYTES;
    VirtualAlloc(page, PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE);
    poke(page + 0x123, 7);
    say("careless: done");
}

// Never looks at what it got.
static void naive(void) {
    volatile u32 *entries = HeapAlloc(heap, 0, ENTRIES * sizeof *entries);
    for (u32 at = 0; at < ENTRIES; at++) entries[at] = at;
    say("naive: done");
}

// Goes on with less and does not say so: its last word is another one.
static void lossy(void) {
    u8 *block = HeapAlloc(heap, 0, 8);
    if (!block) fail("lossy: HeapAlloc");
    u32 room = 8;
    u8 *larger = HeapReAlloc(heap, 0, block, 4096);
    if (larger) {
        block = larger;
        room = 4096;
    }
    put("lossy: room for ");
    put_decimal(room);
    end_line();
    HeapFree(heap, 0, block);
}

// Tries again.
static void stubborn(void) {
    u8 *block = 0;
    for (u32 turn = 0; !block && turn < RETRIES; turn++) block = HeapAlloc(heap, 0, 100000);
    if (!block) fail("stubborn: HeapAlloc");
    HeapFree(heap, 0, block);
    say("stubborn: done");
}

// Waits for somebody to give memory back, and nobody does.
static void patient(void) {
    static volatile u32 memory_came_back;
    u8 *block = VirtualAlloc(0, MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    while (!block && !memory_came_back) {}
    say("patient: done");
}

static usize image_base;

static void put_caller(void *address) {
    put("returns to ");
    put_hex((usize)address - image_base);
    end_line();
}

static FRAMED u32 innermost(u32 size) {
    put_caller(__builtin_return_address(0));
    return VirtualAlloc(0, size, MEM_RESERVE, PAGE_READWRITE) ? 1 : 2;
}

static FRAMED u32 middle(u32 size) {
    volatile u8 room[3000];
    room[size % sizeof room] = 1;
    put_caller(__builtin_return_address(0));
    return innermost(size) + room[size % sizeof room];
}

static FRAMED u32 outermost(u32 size) {
    put_caller(__builtin_return_address(0));
    return middle(size) * 3 + size;
}

// Each function says where it returns to; then the innermost asks for memory.
static FRAMED void callers(void) {
    image_base = (usize)GetModuleHandleA(0);
    outermost(PAGE_BYTES);
}

static const u8 in_file[FILE_PAGES * PAGE_BYTES] = {[0] = 1, [PAGE_BYTES] = 2, [2 * PAGE_BYTES] = 3, [3 * PAGE_BYTES] = 4};

static i32 CALL read_again(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    if (record->code != STATUS_IN_PAGE_ERROR) return CONTINUE_SEARCH;
    put("in-page error: ");
    put_decimal(record->parameter_count);
    put(" parameters, access ");
    put_decimal(record->parameters[0]);
    put(", page ");
    put_decimal((record->parameters[1] - (usize)in_file) / PAGE_BYTES);
    put(", status ");
    put_hex((u32)record->parameters[2]);
    end_line();
    return CONTINUE_EXECUTION;
}

// Reads a byte of each page, again if it has to.
static void own_file(void) {
    AddVectoredExceptionHandler(1, read_again);
    u32 sum = 0;
    for (u32 page = 0; page < FILE_PAGES; page++) sum += *(const volatile u8 *)&in_file[page * PAGE_BYTES];
    put("the sum is ");
    put_decimal(sum);
    end_line();
}

void start(void) {
    heap = GetProcessHeap();
    switch (number_argument(0)) {
    case 0:
        careful();
        careless(honest());
        naive();
        lossy();
        stubborn();
        patient();
        break;
    case 1: callers(); break;
    case 2: own_file(); break;
    default: ExitProcess(2);
    }
    ExitProcess(0);
}
