// Structured exception handling by a real ntdll: frames are found through unwind tables on x64 and through FS:0 on x86,
// filters decide, a repaired fault goes on, unwinding runs what was to be done finally, and a stack overflow is caught.
//
// The built-in ntdll dispatches to vectored handlers alone; this program needs an ntdll that has RtlUnwind of its own.
#include "guest.h"

enum { WIDE = sizeof(usize) == 8, HANDLE_IT = 1 };

#define STATUS_INTEGER_DIVIDE_BY_ZERO 0xC0000094u
#define STATUS_STACK_OVERFLOW 0xC00000FDu
#define OWN_CODE 0xE0000042u

// Flags of a record while frames are left, and of the frame where that ends.
enum { UNWINDING = 0x2 | 0x4, AT_TARGET = 0x20 };
// What a frame's handler answers.
enum { GO_ON_EXECUTING = 0, GO_ON_SEARCHING = 1 };

typedef struct Frame Frame;

// What `guarded` calls, and what is asked and done when something goes wrong in there.
struct Frame {
    usize (*body)(Frame *frame);
    i32 (*filter)(Frame *frame, ExceptionRecord *record, void *context);
    void (*finally)(Frame *frame);
    usize value;
    const char *name;
};

// Calls the body with its frame on record; answers what it answers, or the value of the frame once it was left for good.
usize guarded(Frame *frame) __asm__("guarded");

#if __SIZEOF_POINTER__ == 8

typedef struct {
    usize pc, image_base;
    void *function, *establisher;
    usize target_ip;
    void *context, *handler, *handler_data, *history;
} Dispatcher;

typedef void CALL UnwindEx(void *frame, void *ip, ExceptionRecord *record, void *value, void *context, void *history);

extern u8 guarded_out[] __asm__("guarded_out");

// The frame's address is kept above the home space of the body.
__asm__(".text\n"
        ".globl guarded\n"
        ".seh_proc guarded\n"
        "guarded:\n"
        " subq $0x38, %rsp\n"
        " .seh_stackalloc 0x38\n"
        " .seh_endprologue\n"
        " movq %rcx, 0x28(%rsp)\n"
        " call *(%rcx)\n"
        " nop\n"
        "guarded_out:\n"
        " addq $0x38, %rsp\n"
        " ret\n"
        " .seh_handler guarded_handler, @except, @unwind\n"
        ".seh_endproc\n");

static UnwindEx *unwind;

u32 guarded_handler(ExceptionRecord *record, u8 *establisher, void *context, Dispatcher *dispatcher) __asm__(
    "guarded_handler");

__attribute__((used)) u32 guarded_handler(ExceptionRecord *record, u8 *establisher, void *context, Dispatcher *dispatcher) {
    Frame *frame = *(Frame **)(establisher + 0x28);
    if (record->flags & UNWINDING) {
        if (!(record->flags & AT_TARGET) && frame->finally) frame->finally(frame);
        return GO_ON_SEARCHING;
    }
    i32 decision = frame->filter ? frame->filter(frame, record, context) : CONTINUE_SEARCH;
    if (decision == CONTINUE_EXECUTION) return GO_ON_EXECUTING;
    if (decision == HANDLE_IT) {
        unwind(establisher, guarded_out, record, (void *)frame->value, dispatcher->context, dispatcher->history);
    }
    return GO_ON_SEARCHING;
}

static void find_unwind(void) {
    unwind = (UnwindEx *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "RtlUnwindEx");
    if (!unwind) fail("RtlUnwindEx");
}

#else

// What FS:0 leads to.
typedef struct Registration {
    struct Registration *next;
    void *handler;
    Frame *frame;
} Registration;

typedef void CALL Unwind(Registration *frame, void *ip, ExceptionRecord *record, void *value);

NORETURN void resume_guarded(Registration *registration, usize value) __asm__("resume_guarded");

__asm__(".text\n"
        ".globl guarded\n"
        "guarded:\n"
        " pushl %ebp\n"
        " movl %esp, %ebp\n"
        " pushl %ebx\n"
        " pushl %esi\n"
        " pushl %edi\n"
        " movl 8(%ebp), %ebx\n"
        " pushl %ebx\n"
        " pushl $guarded_handler\n"
        " pushl %fs:0\n"
        " movl %esp, %fs:0\n"
        " pushl %ebx\n"
        " call *(%ebx)\n"
        " addl $4, %esp\n"
        "guarded_leave:\n"
        " popl %fs:0\n"
        " addl $8, %esp\n"
        " popl %edi\n"
        " popl %esi\n"
        " popl %ebx\n"
        " popl %ebp\n"
        " ret\n"
        "resume_guarded:\n"
        " movl 8(%esp), %eax\n"
        " movl 4(%esp), %esp\n"
        " leal 24(%esp), %ebp\n"
        " jmp guarded_leave\n");

static Unwind *unwind;

u32 guarded_handler(ExceptionRecord *record, Registration *registration, void *context, void *dispatcher) __asm__(
    "guarded_handler");

__attribute__((used)) u32 guarded_handler(ExceptionRecord *record, Registration *registration, void *context, void *dispatcher) {
    Frame *frame = registration->frame;
    (void)dispatcher;
    if (record->flags & UNWINDING) {
        if (frame->finally) frame->finally(frame);
        return GO_ON_SEARCHING;
    }
    i32 decision = frame->filter ? frame->filter(frame, record, context) : CONTINUE_SEARCH;
    if (decision == CONTINUE_EXECUTION) return GO_ON_EXECUTING;
    if (decision == HANDLE_IT) {
        usize value = frame->value;
        unwind(registration, 0, record, 0);
        resume_guarded(registration, value);
    }
    return GO_ON_SEARCHING;
}

static void find_unwind(void) {
    unwind = (Unwind *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "RtlUnwind");
    if (!unwind) fail("RtlUnwind");
}

#endif

static u8 *page;

static void say_code(const char *who, const ExceptionRecord *record) {
    put("  ");
    put(who);
    put(" is asked about ");
    put_hex(record->code);
    end_line();
}

static i32 repair(Frame *frame, ExceptionRecord *record, void *context) {
    (void)context;
    say_code(frame->name, record);
    if (record->code != STATUS_ACCESS_VIOLATION || record->parameters[1] != (usize)page) return CONTINUE_SEARCH;
    protect(page, PAGE_BYTES, PAGE_READWRITE);
    return CONTINUE_EXECUTION;
}

static i32 decline(Frame *frame, ExceptionRecord *record, void *context) {
    (void)context;
    say_code(frame->name, record);
    return CONTINUE_SEARCH;
}

static i32 take(Frame *frame, ExceptionRecord *record, void *context) {
    (void)context;
    say_code(frame->name, record);
    return HANDLE_IT;
}

static void tidy_up(Frame *frame) {
    put("  finally in ");
    say(frame->name);
}

static usize store(Frame *frame) {
    (void)frame;
    poke(page, 42);
    return page[0];
}

static usize store_to_null(Frame *frame) {
    (void)frame;
    poke((u8 *)0, 1);
    return 0;
}

static usize divide(Frame *frame) {
    volatile i32 zero = 0;
    (void)frame;
    return (usize)(100 / zero);
}

static usize raise_own(Frame *frame) {
    usize arguments[2] = {3, 4};
    (void)frame;
    RaiseException(OWN_CODE, 0, 2, arguments);
    return 0;
}

static usize call_three_deep(Frame *frame) {
    Frame inner = {store_to_null, decline, tidy_up, 0, "the innermost frame"};
    (void)frame;
    return guarded(&inner);
}

static usize call_two_deep(Frame *frame) {
    Frame middle = {call_three_deep, 0, tidy_up, 0, "the middle frame"};
    (void)frame;
    return guarded(&middle);
}

// A filter in which something goes wrong itself, and is put right there.
static i32 filter_that_faults(Frame *frame, ExceptionRecord *record, void *context) {
    Frame within = {divide, take, 0, 5, "a frame in the filter"};
    (void)context;
    say_code(frame->name, record);
    frame->value = 10 + guarded(&within);
    return HANDLE_IT;
}

// Finally something goes wrong while frames are left, and is put right there.
static void finally_that_faults(Frame *frame) {
    Frame within = {divide, take, 0, 6, "a frame in what is done finally"};
    put("  finally in ");
    say(frame->name);
    if (guarded(&within) != 6) say("  NOT caught");
}

static usize call_with_faulting_finally(Frame *frame) {
    Frame inner = {store_to_null, 0, finally_that_faults, 0, "the inner frame"};
    (void)frame;
    return guarded(&inner);
}

static NOINLINE usize recurse(volatile u8 *above) {
    volatile u8 local[512];
    local[0] = above[0];
    if (local[0] == 0) return 0;
    return recurse(local) + local[0];
}

static usize overflow(Frame *frame) {
    volatile u8 first = 1;
    (void)frame;
    return recurse(&first);
}

static void say_value(usize value) {
    put("  value ");
    put_decimal(value);
    end_line();
}

static void run(const char *title, Frame frame) {
    say(title);
    say_value(guarded(&frame));
}

void start(void) {
    find_unwind();
    page = allocate(0, PAGE_BYTES, MEM_COMMIT, PAGE_READONLY);
    run("a filter repairs a fault, and the store is done", (Frame){store, repair, 0, 0, "the frame"});
    run("a fault is caught", (Frame){store_to_null, take, 0, 7, "the frame"});
    run("a division is caught", (Frame){divide, take, 0, 8, "the frame"});
    run("an exception of the program's own is caught", (Frame){raise_own, take, 0, 9, "the frame"});
    run("frames are left from the inside out", (Frame){call_two_deep, take, tidy_up, 11, "the outermost frame"});
    run("a fault in a filter", (Frame){store_to_null, filter_that_faults, 0, 0, "the frame"});
    run("a fault while frames are left", (Frame){call_with_faulting_finally, take, 0, 12, "the outer frame"});
    run("a stack overflow is caught", (Frame){overflow, take, 0, 13, "the frame"});
    ExitProcess(0);
}
