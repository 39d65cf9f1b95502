// Exceptions as handlers see them: who is asked and when, exact records, edited contexts, nesting, and how it ends.
#include "guest.h"

enum { WIDE = sizeof(usize) == 8, EXECUTE_HANDLER = 1, NONCONTINUABLE = 1, TRAP_FLAG = 0x100 };

#define STATUS_BREAKPOINT 0x80000003u
#define STATUS_SINGLE_STEP 0x80000004u
#define STATUS_NONCONTINUABLE_EXCEPTION 0xC0000025u
#define STATUS_INTEGER_DIVIDE_BY_ZERO 0xC0000094u
#define STATUS_STACK_OVERFLOW 0xC00000FDu
#define CODE_OF_THIS_PROGRAM 0xE0000001u
#define CODE_THAT_NESTS 0xE0000010u

// Offsets in a CONTEXT.
enum {
    CONTEXT_FLAGS = WIDE ? 0x44 : 0xc0,
    CONTEXT_CX = WIDE ? 0x80 : 0xac,
    CONTEXT_SP = WIDE ? 0x98 : 0xc4,
    CONTEXT_IP = WIDE ? 0xf8 : 0xb8,
};

// Two bytes that read from the address in the accumulator into ECX, and a return; then others of the kind.
extern u8 code_that_reads[], code_that_breaks[], code_that_divides[], code_that_steps[], code_after_popf[];

#define POP_TRAP "pushf\n orl $0x100, (%" SP ")\n popf\n"
#if __SIZEOF_POINTER__ == 8
#define SYMBOL(name) #name
#define SP "rsp"
#define LOAD "movl (%rax), %ecx\n"
#else
#define SYMBOL(name) "_" #name
#define SP "esp"
#define LOAD "movl (%eax), %ecx\n"
#endif
#define LABEL(name) ".globl " SYMBOL(name) "\n" SYMBOL(name) ":\n"

__asm__(".text\n"
        LABEL(code_that_reads) LOAD "ret\n"
        LABEL(code_that_breaks) "int3\n ret\n"
        LABEL(code_that_divides) "divl %ecx\n ret\n"
        LABEL(code_that_steps) POP_TRAP
        LABEL(code_after_popf) "nop\n nop\n xorl %eax, %eax\n ret\n");

static usize run(const u8 *code, usize ax, usize cx) {
    usize dx = 0;
    __asm__ volatile("call *%3" : "+a"(ax), "+c"(cx), "+d"(dx) : "S"(code) : "memory", "cc");
    return cx;
}

static usize *context_word(ExceptionPointers *pointers, u32 offset) {
    return (usize *)((u8 *)pointers->context + offset);
}

static u32 *context_flags(ExceptionPointers *pointers) {
    return (u32 *)((u8 *)pointers->context + CONTEXT_FLAGS);
}

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

static void say_record(const ExceptionRecord *record) {
    put("  code ");
    put_hex(record->code);
    put(", flags ");
    put_decimal(record->flags);
    put(record->nested ? ", nested," : ",");
    for (u32 i = 0; i < record->parameter_count; i++) {
        put(" ");
        put_hex(record->parameters[i]);
    }
    end_line();
}

static void *add(u32 first, ExceptionHandler *handler) {
    void *registration = AddVectoredExceptionHandler(first, handler);
    if (!registration) fail("AddVectoredExceptionHandler");
    return registration;
}

static void take_away(void *registration) {
    if (!RemoveVectoredExceptionHandler(registration)) fail("RemoveVectoredExceptionHandler");
}

// Order, and lists that change while they are walked.

static void *of_first, *of_second, *of_late;

static i32 CALL first(ExceptionPointers *pointers) {
    (void)pointers;
    put(" first");
    return CONTINUE_SEARCH;
}

static i32 CALL second(ExceptionPointers *pointers) {
    (void)pointers;
    put(" second");
    return CONTINUE_SEARCH;
}

static i32 CALL last(ExceptionPointers *pointers) {
    (void)pointers;
    put(" last");
    return CONTINUE_EXECUTION;
}

static i32 CALL never(ExceptionPointers *pointers) {
    (void)pointers;
    put(" never");
    return CONTINUE_EXECUTION;
}

static i32 CALL after(ExceptionPointers *pointers) {
    (void)pointers;
    put(" after");
    return CONTINUE_SEARCH;
}

static i32 CALL after_all(ExceptionPointers *pointers) {
    (void)pointers;
    put(" after-all");
    return CONTINUE_EXECUTION;
}

static i32 CALL late(ExceptionPointers *pointers) {
    (void)pointers;
    put(" late");
    return CONTINUE_EXECUTION;
}

// Takes itself and the next one away, and puts one at the end.
static i32 CALL changes_the_list(ExceptionPointers *pointers) {
    (void)pointers;
    put(" changes");
    take_away(of_first);
    take_away(of_second);
    of_late = add(0, late);
    return CONTINUE_SEARCH;
}

static void raise_and_list(const char *what) {
    put("  ");
    put(what);
    put(":");
    RaiseException(CODE_OF_THIS_PROGRAM, 0, 0, 0);
    end_line();
}

static void order(void) {
    say("order");
    void *b = add(0, second);
    void *c = add(0, last);
    void *d = add(0, never);
    void *a = add(1, first);
    void *continues = AddVectoredContinueHandler(0, after_all);
    void *stops = AddVectoredContinueHandler(0, never);
    void *begins = AddVectoredContinueHandler(1, after);
    raise_and_list("handlers");
    say_if(!RemoveVectoredContinueHandler(a), "a handler is not in the other list");
    say_if(!RemoveVectoredExceptionHandler(begins), "nor the other way round");
    take_away(a);
    say_if(!RemoveVectoredExceptionHandler(a), "not removed twice");
    RemoveVectoredContinueHandler(begins);
    RemoveVectoredContinueHandler(stops);
    RemoveVectoredContinueHandler(continues);
    raise_and_list("fewer");
    take_away(b);
    take_away(c);
    take_away(d);
    of_first = add(0, changes_the_list);
    of_second = add(0, never);
    raise_and_list("changing");
    raise_and_list("changed");
    take_away(of_late);
}

// Records and contexts, with what the handler makes of them.

static const u8 *code;

static i32 CALL repairs(ExceptionPointers *pointers) {
    ExceptionRecord *record = pointers->record;
    usize *ip = context_word(pointers, CONTEXT_IP);
    say_record(record);
    say_if((u8 *)record->address == code && *ip == (usize)code, "at the instruction");
    switch (record->code) {
    case STATUS_BREAKPOINT: *ip += 1; break;
    case STATUS_ACCESS_VIOLATION:
        *ip += 2;
        *context_word(pointers, CONTEXT_CX) = 42;
        break;
    case STATUS_INTEGER_DIVIDE_BY_ZERO: *context_word(pointers, CONTEXT_CX) = 7; break;
    default: return CONTINUE_SEARCH;
    }
    return CONTINUE_EXECUTION;
}

static usize run_with_handler(const u8 *it, usize ax, usize cx) {
    code = it;
    return run(it, ax, cx);
}

static void contexts(void) {
    say("edited contexts");
    void *registration = add(1, repairs);
    say_number("read", run_with_handler(code_that_reads, 0x10, 1));
    say_number("divided by", run_with_handler(code_that_divides, 100, 0));
    say_number("broke with", run_with_handler(code_that_breaks, 0, 0x33));
    take_away(registration);
    say_if(!SetUnhandledExceptionFilter(repairs), "there was no filter");
    say_number("read with the filter", run_with_handler(code_that_reads, 0x20, 1));
    say_if(SetUnhandledExceptionFilter(0) == repairs, "the filter is taken back");
}

static u32 steps;

static i32 CALL counts_steps(ExceptionPointers *pointers) {
    usize at = *context_word(pointers, CONTEXT_IP);
    put("  ");
    say_record(pointers->record);
    put("    behind popf: ");
    put_decimal(at - (usize)code_after_popf);
    put((usize)pointers->record->address == at ? "" : ", the record says otherwise");
    put(*context_flags(pointers) & TRAP_FLAG ? ", trap flag set" : "");
    end_line();
    if (++steps < 3) *context_flags(pointers) |= TRAP_FLAG;
    return CONTINUE_EXECUTION;
}

static void single_steps(void) {
    say("single steps");
    void *registration = add(1, counts_steps);
    run(code_that_steps, 0, 0);
    say_number("steps", steps);
    take_away(registration);
}

// Exceptions within handlers.

static u32 depth;

static i32 CALL nests(ExceptionPointers *pointers) {
    u32 level = pointers->record->code - CODE_THAT_NESTS;
    if (level >= 8) return CONTINUE_SEARCH;
    depth++;
    put(" ");
    put_decimal(level);
    if (level) RaiseException(CODE_THAT_NESTS + level - 1, 0, 0, 0);
    put(" ");
    put_decimal(level);
    return CONTINUE_EXECUTION;
}

static void nested(void) {
    say("nested");
    void *registration = add(1, nests);
    put(" ");
    RaiseException(CODE_THAT_NESTS + 5, 0, 0, 0);
    end_line();
    say_number("calls", depth);
    take_away(registration);
}

// Half a page at a time; no stack is as deep as that.
static NOINLINE u32 use_up_the_stack(u32 times) {
    volatile u8 block[2048];
    poke(block, 1);
    return times ? use_up_the_stack(times - 1) + block[0] : 0;
}

static usize stack_before, overflows;
static void after_the_overflow(void);
static void after_noncontinuable(void);

// Goes on with a function on the stack that was there before.
static void go_on_with(ExceptionPointers *pointers, void (*function)(void)) {
    *context_word(pointers, CONTEXT_IP) = (usize)function;
    *context_word(pointers, CONTEXT_SP) = (stack_before & ~(usize)15) - sizeof(usize);
}

static i32 CALL overflows_itself(ExceptionPointers *pointers) {
    if (pointers->record->code == STATUS_STACK_OVERFLOW) {
        overflows++;
        go_on_with(pointers, after_the_overflow);
        return CONTINUE_EXECUTION;
    }
    if (pointers->record->code != CODE_OF_THIS_PROGRAM) return CONTINUE_SEARCH;
    say("  handler: using up the stack");
    use_up_the_stack(1 << 20);
    return CONTINUE_EXECUTION;
}

static void *of_overflow;

static NOINLINE void overflow_in_a_handler(void) {
    say("stack overflow in a handler");
    stack_before = (usize)__builtin_frame_address(0) - 512;
    of_overflow = add(1, overflows_itself);
    RaiseException(CODE_OF_THIS_PROGRAM, 0, 0, 0);
    say("  NOT: the handler came back");
}

// Noncontinuable exceptions: a vectored handler may go on, a filter may not.

static i32 CALL watches(ExceptionPointers *pointers) {
    ExceptionRecord *record = pointers->record;
    say_record(record);
    if (record->code != STATUS_NONCONTINUABLE_EXCEPTION) return CONTINUE_SEARCH;
    say_if(record->nested && record->nested->code == CODE_OF_THIS_PROGRAM, "the nested record is the first one");
    go_on_with(pointers, after_noncontinuable);
    return CONTINUE_EXECUTION;
}

static i32 CALL wants_to_go_on(ExceptionPointers *pointers) {
    (void)pointers;
    say("  filter: go on");
    return CONTINUE_EXECUTION;
}

static i32 CALL goes_on(ExceptionPointers *pointers) {
    say_record(pointers->record);
    return CONTINUE_EXECUTION;
}

static void *of_watch;

static NOINLINE void noncontinuable(void) {
    say("noncontinuable");
    void *registration = add(1, goes_on);
    RaiseException(CODE_OF_THIS_PROGRAM, NONCONTINUABLE, 0, 0);
    say("  a vectored handler went on");
    take_away(registration);
    stack_before = (usize)__builtin_frame_address(0) - 512;
    of_watch = add(1, watches);
    SetUnhandledExceptionFilter(wants_to_go_on);
    RaiseException(CODE_OF_THIS_PROGRAM, NONCONTINUABLE | 0x40, 0, 0);
    say("  NOT: the filter went on");
}

static void after_noncontinuable(void) {
    take_away(of_watch);
    SetUnhandledExceptionFilter(0);
    say("the end");
    ExitProcess(0);
}

static void after_the_overflow(void) {
    say_number("overflows", overflows);
    take_away(of_overflow);
    noncontinuable();
    ExitProcess(1);
}

// Ends of a process.

static i32 CALL faults_again(ExceptionPointers *pointers) {
    (void)pointers;
    run(code_that_reads, 0x10, 0);
    return CONTINUE_EXECUTION;
}

static i32 CALL says_search(ExceptionPointers *pointers) {
    (void)pointers;
    say("filter: search on");
    return CONTINUE_SEARCH;
}

static i32 CALL says_end(ExceptionPointers *pointers) {
    (void)pointers;
    say("filter: end");
    return EXECUTE_HANDLER;
}

static i32 CALL continues(ExceptionPointers *pointers) {
    (void)pointers;
    say("continue handler");
    return CONTINUE_SEARCH;
}

static i32 CALL asked(ExceptionPointers *pointers) {
    (void)pointers;
    say("NOT: a handler was asked");
    return CONTINUE_EXECUTION;
}

static void ask_the_filter(void) {
    ExceptionRecord record = {.code = CODE_OF_THIS_PROGRAM};
    ExceptionPointers pointers = {&record, 0};
    say_number("without a filter", (usize)UnhandledExceptionFilter(&pointers));
    SetUnhandledExceptionFilter(wants_to_go_on);
    say_if(UnhandledExceptionFilter(&pointers) == CONTINUE_EXECUTION, "its own answer");
    SetUnhandledExceptionFilter(says_search);
    say_number("a filter that searches", (usize)UnhandledExceptionFilter(&pointers));
    ExitProcess(0);
}

static void end_by(usize how) {
    AddVectoredContinueHandler(1, continues);
    switch (how) {
    case 1: add(1, faults_again); break;
    case 2: SetUnhandledExceptionFilter(says_search); break;
    case 3: SetUnhandledExceptionFilter(says_end); break;
    case 4:
        add(1, asked);
        RaiseFailFastException(0, 0, 0);
        break;
    case 5: ask_the_filter(); break;
    default: ExitProcess(2);
    }
    say("raising");
    RaiseException(CODE_OF_THIS_PROGRAM, 0, 0, 0);
    say("NOT: went on");
    ExitProcess(1);
}

void start(void) {
    usize how = number_argument(0);
    if (how) end_by(how);
    order();
    contexts();
    single_steps();
    nested();
    overflow_in_a_handler();
    ExitProcess(1);
}
