// Has a thread-local storage directory whose two callbacks run before the entry point; prints the order.
#include "guest.h"

enum { PROCESS_ATTACH = 1 };

typedef void CALL Callback(void *image, u32 reason, void *reserved);

typedef struct {
    const void *template_start;
    const void *template_end;
    u32 *index;
    Callback *const *callbacks;
    u32 zero_fill_bytes;
    u32 characteristics;
} TlsDirectory;

static u32 callbacks_run;

// Only the call at process start is counted: how many come at the end is not this guest's subject.
static void count_and_tell(const char *name, u32 reason) {
    if (reason != PROCESS_ATTACH) return;
    callbacks_run++;
    put_decimal(callbacks_run);
    put(": ");
    say(name);
}

static void CALL first(void *image, u32 reason, void *reserved) {
    (void)image;
    (void)reserved;
    count_and_tell("first callback", reason);
}

static void CALL second(void *image, u32 reason, void *reserved) {
    (void)image;
    (void)reserved;
    count_and_tell("second callback", reason);
}

static u32 tls_index = 0xffffffff;
static const u32 tls_template[2] = {0xfeedf00d, 0x0badcafe};
static Callback *const tls_callbacks[] = {first, second, 0};

// The linker points the image's TLS data directory at the symbol of this name.
const TlsDirectory _tls_used = {
    tls_template, tls_template + 2, &tls_index, tls_callbacks, 0, 0,
};

static u32 *tls_block(void) {
    u32 **blocks;
#ifdef __x86_64__
    __asm__ volatile("movq %%gs:0x58, %0" : "=r"(blocks));
#else
    __asm__ volatile("movl %%fs:0x2c, %0" : "=r"(blocks));
#endif
    return blocks[tls_index];
}

void start(void) {
    put_decimal(callbacks_run + 1);
    say(": entry point");
    if (tls_index == 0xffffffff) {
        say("no index was given to this program");
        ExitProcess(1);
    }
    u32 *block = tls_block();
    put("thread-local words ");
    put_hex(block[0]);
    put(" ");
    put_hex(block[1]);
    end_line();
    ExitProcess(callbacks_run == 2 ? 0 : 1);
}
