// Meets a guard page and a read-only page, repairs both from a vectored handler, and goes on (SPEC E1, E11).
#include "guest.h"

static u8 *read_only_page;
static volatile u32 exceptions_seen;

static void put_access(usize access) {
    switch (access) {
    case 0: put("read"); break;
    case 1: put("write"); break;
    case 8: put("execute"); break;
    default: put_hex(access);
    }
}

static i32 CALL handler(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    exceptions_seen++;
    put("  handler: code ");
    put_hex(record->code);
    put(", ");
    put_decimal(record->parameter_count);
    put(" parameters, ");
    put_access(record->parameters[0]);
    put(" of ");
    put_hex(record->parameters[1]);
    end_line();
    // The guard is one-shot: Windows has taken it off before it told us.
    if (record->code == STATUS_GUARD_PAGE_VIOLATION) return CONTINUE_EXECUTION;
    if (record->code != STATUS_ACCESS_VIOLATION) return CONTINUE_SEARCH;
    if (record->parameters[1] - (usize)read_only_page >= PAGE_BYTES) return CONTINUE_SEARCH;
    protect(read_only_page, PAGE_BYTES, PAGE_READWRITE);
    return CONTINUE_EXECUTION;
}

static void show(const char *what, const u8 *page) {
    put(what);
    put(" ");
    put_hex((usize)page);
    put(": ");
    put_protection(query(page).protect);
    end_line();
}

static void touch_and_tell(const char *what, volatile u8 *byte) {
    u32 before = exceptions_seen;
    put(what);
    put(" ");
    put_hex((usize)byte);
    end_line();
    poke(byte, 0x77);
    put("  wrote ");
    put_hex(*byte);
    put(" after ");
    put_decimal(exceptions_seen - before);
    put(" exceptions");
    end_line();
}

void start(void) {
    void *registration = AddVectoredExceptionHandler(1, handler);
    if (!registration) fail("AddVectoredExceptionHandler");

    u8 *guarded = allocate(0, 2 * PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    show("guarded page", guarded);
    touch_and_tell("first touch of", guarded + 0x345);
    show("guarded page", guarded);
    touch_and_tell("second touch of", guarded + 0x346);
    show("its neighbour", guarded + PAGE_BYTES);

    read_only_page = allocate(0, PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY);
    show("read-only page", read_only_page);
    touch_and_tell("write to", read_only_page + 0xabc);
    show("read-only page", read_only_page);

    say(RemoveVectoredExceptionHandler(registration) ? "handler removed" : "handler not removed");
    ExitProcess(exceptions_seen == 2 ? 0 : 1);
}
