// Suspended threads: their count, their registers, and a thread that is sent elsewhere.
#include "threads.h"

enum {
    FULL_CONTEXT = sizeof(usize) == 8 ? 0x10000b : 0x10007,
    CONTROL_CONTEXT = sizeof(usize) == 8 ? 0x100001 : 0x10001,
    CONTEXT_FLAGS = sizeof(usize) == 8 ? 0x30 : 0,
    CONTEXT_ACCUMULATOR = sizeof(usize) == 8 ? 0x78 : 0xb0,
    CONTEXT_STACK = sizeof(usize) == 8 ? 0x98 : 0xc4,
    CONTEXT_INSTRUCTION = sizeof(usize) == 8 ? 0xf8 : 0xb8,
};

typedef union __attribute__((aligned(16))) {
    u8 bytes[sizeof(usize) == 8 ? 1232 : 716];
    usize words[1];
} Context;

static usize *field(Context *context, u32 at) {
    return (usize *)(context->bytes + at);
}

static volatile u32 turns, escaped;

// Spins in a place that is known.
static NOINLINE u32 CALL spin(void *argument) {
    (void)argument;
    for (;;) turns++;
    return 0;
}

static NORETURN void escape(void) {
    escaped = 1;
    ExitThread(1234);
}

static void counts(void) {
    say("counts");
    Handle thread = begin(spin, 0);
    while (turns < 1000) SwitchToThread();
    say_number("suspended before:", SuspendThread(thread));
    say_number("and once more:", SuspendThread(thread));
    u32 seen = turns;
    Sleep(50);
    say_if(turns == seen, "it does not run");
    say_number("resumed:", ResumeThread(thread));
    Sleep(50);
    say_if(turns == seen, "it does not run yet");
    say_number("resumed:", ResumeThread(thread));
    Sleep(50);
    say_if(turns != seen, "it runs");
    say_number("resumed once too often:", ResumeThread(thread));
    u32 times = 0;
    while (SuspendThread(thread) != 0xffffffff) times++;
    say_number("suspended so often at most:", times);
    say_number("error", GetLastError());
    TerminateThread(thread, 5);
    say_number("ended while suspended:", end_of(thread));
}

static u32 CALL suspend_self(void *argument) {
    SuspendThread((Handle)-2);
    *(volatile u32 *)argument = 1;
    return 3;
}

static void itself(void) {
    say("a thread that suspends itself");
    volatile u32 done = 0;
    Handle thread = begin(suspend_self, (void *)&done);
    Sleep(20);
    say_number("done:", done);
    say_number("resumed:", ResumeThread(thread));
    say_number("it ended with", end_of(thread));
}

static void registers(void) {
    static Context context, partly;
    say("registers");
    turns = 0;
    Handle thread = begin(spin, 0);
    while (turns < 1000) SwitchToThread();
    SuspendThread(thread);
    *(u32 *)(context.bytes + CONTEXT_FLAGS) = FULL_CONTEXT;
    if (!GetThreadContext(thread, &context)) fail("GetThreadContext");
    usize instruction = *field(&context, CONTEXT_INSTRUCTION);
    say_if(instruction - (usize)spin < 64, "the instruction is in the loop");
    Region region = query((void *)*field(&context, CONTEXT_STACK));
    say_if(region.state == MEM_COMMIT && region.allocation_base != query(&context).allocation_base, "it has a stack");
    *(u32 *)(partly.bytes + CONTEXT_FLAGS) = CONTROL_CONTEXT;
    *field(&partly, CONTEXT_ACCUMULATOR) = 0x5a5a;
    GetThreadContext(thread, &partly);
    say_if(*field(&partly, CONTEXT_INSTRUCTION) == instruction, "asked for a part, the part is there");
    say_if(*field(&partly, CONTEXT_ACCUMULATOR) == 0x5a5a, "and the rest is as it was");
    *field(&context, CONTEXT_INSTRUCTION) = (usize)escape;
    *field(&context, CONTEXT_STACK) = (*field(&context, CONTEXT_STACK) & ~(usize)15) - 0x48;
    if (!SetThreadContext(thread, &context)) fail("SetThreadContext");
    ResumeThread(thread);
    say_number("sent elsewhere, it ended with", end_of(thread));
    say_number("escaped:", escaped);
}

static Handle gate;

static u32 CALL wait_at_gate(void *argument) {
    (void)argument;
    return WaitForSingleObject(gate, INFINITE);
}

static void waiting(void) {
    say("suspended in a wait");
    gate = new_event(0);
    Handle thread = begin(wait_at_gate, 0);
    Sleep(5);
    SuspendThread(thread);
    SetEvent(gate);
    Sleep(5);
    say_if(WaitForSingleObject(gate, 0) == WAIT_TIMEOUT, "its wait took the event");
    say_if(WaitForSingleObject(thread, 20) == WAIT_TIMEOUT, "but it does not run");
    ResumeThread(thread);
    say_number("then it ended with", end_of(thread));
    CloseHandle(gate);
}

void start(void) {
    counts();
    itself();
    registers();
    waiting();
    ExitProcess(0);
}
