// The lab `protections`: one page through its protections, and a store that one of them refuses (SPEC C, E1).
#include "lab.h"

static u8 *page;
static u32 refused;

static i32 CALL handler(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    if (record->code != STATUS_ACCESS_VIOLATION || record->parameters[1] != (usize)page) return CONTINUE_SEARCH;
    refused++;
    protect(page, PAGE_BYTES, PAGE_READWRITE);
    return CONTINUE_EXECUTION;
}

void start(void) {
    AddVectoredExceptionHandler(1, handler);
    page = allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    poke(page, 1);
    stop_at("read-write", "page", page);
    protect(page, PAGE_BYTES, PAGE_READONLY);
    stop_at("read-only", "page", page);
    poke(page, 2);
    expect(refused == 1 && peek(page) == 2, "the store was refused once, and done after the handler's repair");
    stop_at("repaired", "page", page);
    protect(page, PAGE_BYTES, PAGE_EXECUTE_READ);
    stop_at("execute-read", "page", page);
    protect(page, PAGE_BYTES, PAGE_NOACCESS);
    stop_at("no-access", "page", page);
    protect(page, PAGE_BYTES, PAGE_READONLY);
    expect(peek(page) == 2, "what was stored is there still");
    ExitProcess(0);
}
