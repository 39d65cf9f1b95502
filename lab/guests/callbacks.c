// What Windows calls back: initialise-once, fiber-local storage, locales, exception handlers; and the heap.
#include "guest.h"

enum {
    HEAP_ZERO_MEMORY = 8,
    LCID_INSTALLED = 1,
    FULL_CONTEXT = sizeof(usize) == 8 ? 0x10000b : 0x10007,
};

#define CODE_OF_THIS_PROGRAM 0xE0000001u
#define CODE_THAT_NESTS 0xE0000002u

// The processor context, of which only a few fields matter here.
typedef union __attribute__((aligned(16))) {
    u8 bytes[sizeof(usize) == 8 ? 1232 : 716];
    usize words[1];
} Context;

enum {
    CONTEXT_FLAGS = sizeof(usize) == 8 ? 0x30 : 0,
    CONTEXT_STACK = sizeof(usize) == 8 ? 0x98 : 0xc4,
    CONTEXT_INSTRUCTION = sizeof(usize) == 8 ? 0xf8 : 0xb8,
};

static void say_if(i32 is_so, const char *text) {
    put(is_so ? "  " : "  NOT: ");
    say(text);
}

static void say_number(const char *what, usize value) {
    put("  ");
    put(what);
    put(" ");
    put_decimal(value);
    end_line();
}

static void say_code(const char *what, const ExceptionRecord *record) {
    put("  ");
    put(what);
    put(": code ");
    put_hex(record->code);
    put(", flags ");
    put_decimal(record->flags);
    put(",");
    for (u32 i = 0; i < record->parameter_count; i++) {
        put(" ");
        put_hex(record->parameters[i]);
    }
    end_line();
}

static u32 once_calls;
static u32 once_context[2];

// Refuses the first time.
static i32 CALL once(void **state, void *parameter, void **context) {
    (void)state;
    once_calls++;
    say_number("called with", *(u32 *)parameter);
    *context = once_context;
    return once_calls > 1;
}

static void initialise_once(void) {
    void *state = 0;
    say("initialise once");
    for (u32 turn = 1; turn <= 4; turn++) {
        void *context = 0;
        i32 answer = InitOnceExecuteOnce(&state, once, &turn, &context);
        put("  turn ");
        put_decimal(turn);
        put(answer ? " done" : " refused");
        say(context == once_context ? ", context given" : ", no context");
    }
    say_number("calls", once_calls);
}

static void CALL slot_freed(void *value) {
    say_number("slot's callback with", (usize)value);
}

static u32 new_fiber_slot(usize value) {
    u32 slot = FlsAlloc(slot_freed);
    if (slot == 0xffffffff || !FlsSetValue(slot, (void *)value)) fail("FlsAlloc");
    return slot;
}

static void fiber_slots(void) {
    say("fiber-local storage");
    u32 freed = new_fiber_slot(111);
    u32 empty = new_fiber_slot(0);
    u32 left = new_fiber_slot(333);
    say_if(freed != empty && empty != left && freed != left, "three slots");
    say_number("value", (usize)FlsGetValue(freed));
    say_if(FlsFree(freed), "freed the first");
    say_if(FlsFree(empty), "freed one without a value");
    say_if(!FlsFree(freed), "not freed twice");
    say_number("the third still has", (usize)FlsGetValue(left));
}

static void thread_slots(void) {
    u32 slots[80];
    u32 wrong = 0;
    say("thread-local storage");
    for (u32 i = 0; i < 80; i++) {
        slots[i] = TlsAlloc();
        if (slots[i] == 0xffffffff || TlsGetValue(slots[i])) wrong++;
        if (!TlsSetValue(slots[i], (void *)(usize)(1000 + i))) wrong++;
    }
    for (u32 i = 0; i < 80; i++) {
        if (TlsGetValue(slots[i]) != (void *)(usize)(1000 + i)) wrong++;
        if (!TlsFree(slots[i])) wrong++;
    }
    u32 again = TlsAlloc();
    if (TlsGetValue(again)) wrong++;
    TlsFree(again);
    say_number("wrong answers of 80 slots:", wrong);
}

static u32 locales;
static i32 english_seen;

static i32 CALL locale_found(const u16 *number) {
    static const char english[] = "00000409";
    u32 i = 0;
    while (i < sizeof english && number[i] == english[i]) i++;
    if (i == sizeof english) english_seen = 1;
    locales++;
    return 1;
}

static void enumerate_locales(void) {
    say("locales");
    say_if(EnumSystemLocalesW(locale_found, LCID_INSTALLED), "enumerated");
    say_if(locales > 0 && english_seen, "English of the United States is among them");
}

static u8 *pages;

static i32 CALL last_chance(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    put("  filter: code ");
    put_hex(record->code);
    put(", access ");
    put_decimal(record->parameters[0]);
    put(", byte ");
    put_decimal(record->parameters[1] - (usize)pages);
    end_line();
    if (record->code != STATUS_ACCESS_VIOLATION) return CONTINUE_SEARCH;
    protect(pages, PAGE_BYTES, PAGE_READWRITE);
    return CONTINUE_EXECUTION;
}

static void repair_from_filter(void) {
    say("unhandled exception filter");
    pages = allocate(0, 2 * PAGE_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS);
    say_if(!SetUnhandledExceptionFilter(last_chance), "there was none");
    poke(pages + 5, 0x77);
    say_number("wrote", pages[5]);
    say_if(SetUnhandledExceptionFilter(0) == last_chance, "taken back");
}

static u32 depth;
static u32 deepest;

static i32 CALL vectored(ExceptionPointers *pointers) {
    const ExceptionRecord *record = pointers->record;
    if (++depth > deepest) deepest = depth;
    if (record->code == CODE_THAT_NESTS) {
        say("  handler: touching a guard page");
        poke(pages + PAGE_BYTES, 0x55);
        say("  handler: touched");
    } else if (record->code == STATUS_GUARD_PAGE_VIOLATION) {
        say_number("handler: guard page met at depth", depth);
    } else {
        say_code("handler", record);
    }
    depth--;
    return CONTINUE_EXECUTION;
}

static void raise_and_continue(void) {
    static const usize parameters[] = {1, 0x22, 0x333};
    say("raised exceptions");
    void *registration = AddVectoredExceptionHandler(1, vectored);
    if (!registration) fail("AddVectoredExceptionHandler");
    RaiseException(CODE_OF_THIS_PROGRAM, 0, 3, parameters);
    say("  went on after the first");
    RaiseException(CODE_OF_THIS_PROGRAM, 0, 0, 0);
    say("  went on after the second");
    protect(pages + PAGE_BYTES, PAGE_BYTES, PAGE_READWRITE | PAGE_GUARD);
    RaiseException(CODE_THAT_NESTS, 0, 0, 0);
    say("  went on after the third");
    say_number("depth", deepest);
    say_number("guarded byte", pages[PAGE_BYTES]);
    say_if(query(pages + PAGE_BYTES).protect == PAGE_READWRITE, "the guard is gone");
    say_if(RemoveVectoredExceptionHandler(registration), "handler removed");
}

static Context context;

static usize context_word(u32 offset) {
    return context.words[offset / sizeof(usize)];
}

// x64 answers where this function goes on. x86 answers where its caller goes on, for it goes by the frame in EBP.
static NOINLINE __attribute__((optimize("no-omit-frame-pointer"))) void capture(void) {
    usize frame = (usize)__builtin_frame_address(0);
    RtlCaptureContext(&context);
    usize instruction = context_word(CONTEXT_INSTRUCTION);
    usize stack = context_word(CONTEXT_STACK);
    usize from = sizeof(usize) == 8 ? (usize)capture : (usize)__builtin_return_address(0);
    usize reach = sizeof(usize) == 8 ? 64 : 1;
    say_if(instruction - from < reach, "the instruction is the right one");
    if (sizeof(usize) == 8) {
        say_if(stack < frame && frame - stack < 256, "the stack pointer is the right one");
    } else {
        say_if(stack == frame + 8, "the stack pointer is the right one");
    }
}

static void capture_context(void) {
    say("captured context");
    capture();
    u32 flags = (u32)context_word(CONTEXT_FLAGS);
    say_if((flags & FULL_CONTEXT) == FULL_CONTEXT, "it is whole");
}

static u8 pattern(usize index) {
    return (u8)(index * 7 + (index >> 8));
}

static usize wrong_bytes(const u8 *block, usize bytes) {
    usize wrong = 0;
    for (usize i = 0; i < bytes; i++) wrong += block[i] != pattern(i);
    return wrong;
}

static usize bytes_not_zero(const u8 *block, usize from, usize to) {
    usize wrong = 0;
    for (usize i = from; i < to; i++) wrong += block[i] != 0;
    return wrong;
}

static void heap_block(usize bytes) {
    Handle heap = GetProcessHeap();
    put("heap block of ");
    put_decimal(bytes);
    end_line();
    u8 *block = HeapAlloc(heap, HEAP_ZERO_MEMORY, bytes);
    u8 *other = HeapAlloc(heap, 0, bytes);
    if (!block || !other) fail("HeapAlloc");
    say_if(HeapSize(heap, 0, block) == bytes, "it has its size");
    say_if((usize)block % (2 * sizeof(usize)) == 0, "it is aligned");
    say_number("bytes not zero:", bytes_not_zero(block, 0, bytes));
    for (usize i = 0; i < bytes; i++) block[i] = pattern(i);
    for (usize i = 0; i < bytes; i++) other[i] = 0xee;
    block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, 3 * bytes);
    if (!block) fail("HeapReAlloc");
    say_number("wrong bytes of the larger one:", wrong_bytes(block, bytes));
    say_number("bytes of its rest not zero:", bytes_not_zero(block, bytes, 3 * bytes));
    block = HeapReAlloc(heap, 0, block, bytes / 2);
    if (!block) fail("HeapReAlloc");
    say_if(HeapSize(heap, 0, block) == bytes / 2, "the smaller one has its size");
    say_number("wrong bytes of the smaller one:", wrong_bytes(block, bytes / 2));
    say_if(HeapFree(heap, 0, block) && HeapFree(heap, 0, other), "freed");
}

void start(void) {
    initialise_once();
    fiber_slots();
    thread_slots();
    enumerate_locales();
    repair_from_filter();
    raise_and_continue();
    capture_context();
    heap_block(24);
    heap_block(100 << 10);
    heap_block(2 << 20);
    say("the end");
    ExitProcess(0);
}
