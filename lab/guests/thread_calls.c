// Who hears that threads start and end: a DLL, the program's own TLS callback, and callbacks of fiber-local slots; and
// static TLS, of which each thread has a copy.
#include "threads.h"

enum { THREAD_ATTACH = 2, THREAD_DETACH = 3, WORKERS = 3, SYNCHRONIZE_AND_QUERY = 0x100040 };

typedef void CALL Callback(void *image, u32 reason, void *reserved);

typedef struct {
    const void *template_start;
    const void *template_end;
    u32 *index;
    Callback *const *callbacks;
    u32 zero_fill_bytes;
    u32 characteristics;
} TlsDirectory;

static u32 tls_index;
static const u32 tls_template[2] = {0xfeedf00d, 7};
static volatile u32 told[4], in_own_thread;

static u32 *own_words(void) {
    u32 **blocks;
#ifdef __x86_64__
    __asm__ volatile("movq %%gs:0x58, %0" : "=r"(blocks));
#else
    __asm__ volatile("movl %%fs:0x2c, %0" : "=r"(blocks));
#endif
    return blocks[tls_index];
}

static void CALL callback(void *image, u32 reason, void *reserved) {
    (void)image;
    (void)reserved;
    told[reason & 3]++;
    if (reason == THREAD_ATTACH) own_words()[1] = GetCurrentThreadId();
    if (reason == THREAD_DETACH && own_words()[1] == GetCurrentThreadId()) in_own_thread++;
}

static Callback *const tls_callbacks[] = {callback, 0};

const TlsDirectory _tls_used = {
    tls_template, tls_template + 2, &tls_index, tls_callbacks, 8, 0,
};

static u32 slot;
static volatile u32 slots_freed;

static void CALL slot_freed(void *value) {
    slots_freed += (u32)(usize)value;
}

static u32 CALL work(void *argument) {
    u32 *words = own_words();
    if (words[0] != 0xfeedf00d || words[1] != GetCurrentThreadId() || words[2] || words[3]) return 1000;
    words[0] = (u32)(usize)argument;
    FlsSetValue(slot, argument);
    Sleep(5);
    return own_words()[0] == (u32)(usize)argument && own_words() == words;
}

static const u32 *calls;

static void workers(void) {
    Handle threads[WORKERS];
    u32 right = 0;
    for (usize i = 0; i < WORKERS; i++) threads[i] = begin(work, (void *)(i + 1));
    for (u32 i = 0; i < WORKERS; i++) right += end_of(threads[i]);
    say_number("threads that had words of their own:", right);
    say_number("the DLL heard of starts", calls[THREAD_ATTACH]);
    say_number("the DLL heard of ends", calls[THREAD_DETACH]);
    say_number("the program heard of starts", told[THREAD_ATTACH]);
    say_number("the program heard of ends", told[THREAD_DETACH]);
    say_number("in the thread itself:", in_own_thread);
    say_number("sum of the slots freed:", slots_freed);
}

static u32 CALL spin(void *argument) {
    for (;;) ++*(volatile u32 *)argument;
    return 0;
}

static u32 CALL last_to_leave(void *argument) {
    end_of((Handle)argument);
    say("the first thread is gone, the process is not");
    return 21;
}

void start(void) {
    Handle listening = LoadLibraryA("listening.dll");
    if (!listening) fail("LoadLibraryA");
    calls = GetProcAddress(listening, "calls");
    slot = FlsAlloc(slot_freed);
    say("all hear");
    workers();
    say("the DLL does not want to hear");
    if (!DisableThreadLibraryCalls(listening)) fail("DisableThreadLibraryCalls");
    workers();
    say("a thread that is terminated says nothing");
    volatile u32 turns = 0;
    Handle thread = begin(spin, (void *)&turns);
    while (turns < 100) SwitchToThread();
    TerminateThread(thread, 0);
    end_of(thread);
    say_number("the program heard of ends", told[THREAD_DETACH]);
    Handle self = OpenThread(SYNCHRONIZE_AND_QUERY, 0, GetCurrentThreadId());
    begin(last_to_leave, self);
    ExitThread(20);
}
