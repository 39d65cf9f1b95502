// What `scenario.c` is made of: ntdll's calls, the words of answers, and touches that can be undone.
#ifndef SCENARIO_H
#define SCENARIO_H

#include "guest.h"

#define CURRENT_PROCESS ((Handle)(usize)-1)

enum {
    MEM_TOP_DOWN = 0x100000,
    WORDS_MAX = 15,
    PROTECTIONS = 8,
    MODIFIERS = 4,
};

// A range as a call takes it in and gives it back.
typedef struct {
    u8 *base;
    usize bytes;
} Extent;

typedef struct {
    u32 code;
    u32 count;
    usize parameters[3];
} Raised;

IMPORT u32 CALL NtAllocateVirtualMemory(
    Handle process, u8 **base, usize zero_bits, usize *bytes, u32 type, u32 protect);
IMPORT u32 CALL NtFreeVirtualMemory(Handle process, u8 **base, usize *bytes, u32 type);
IMPORT u32 CALL NtProtectVirtualMemory(Handle process, u8 **base, usize *bytes, u32 protect, u32 *old);
IMPORT u32 CALL NtQueryVirtualMemory(
    Handle process, const void *address, u32 what, void *buffer, usize bytes, usize *returned);

// By bit, from PAGE_NOACCESS up; and from PAGE_GUARD up, with none first.
static const char *const protection_names[PROTECTIONS] = {"na", "r", "rw", "wc", "x", "xr", "xrw", "xwc"};
static const char *const modifier_names[MODIFIERS] = {"", "+g", "+nc", "+cb"};

// Windows' names without STATUS_, as everywhere in the scenarios.
static const struct {
    u32 code;
    const char *name;
} statuses[] = {
    {0x00000000, "ok"},
    {0x80000001, "guard-page-violation"},
    {0xC0000005, "access-violation"},
    {0xC0000006, "in-page-error"},
    {0xC0000008, "invalid-handle"},
    {0xC000000D, "invalid-parameter"},
    {0xC0000017, "no-memory"},
    {0xC0000018, "conflicting-addresses"},
    {0xC0000019, "not-mapped-view"},
    {0xC000001A, "unable-to-free-vm"},
    {0xC000001B, "unable-to-delete-section"},
    {0xC000001F, "invalid-view-size"},
    {0xC0000021, "already-committed"},
    {0xC000002D, "not-committed"},
    {0xC0000045, "invalid-page-protection"},
    {0xC000004E, "section-protection"},
    {0xC000009F, "free-vm-not-at-base"},
    {0xC00000A0, "memory-not-allocated"},
    {0xC00000EF, "invalid-parameter-1"},
    {0xC00000F0, "invalid-parameter-2"},
    {0xC00000F1, "invalid-parameter-3"},
    {0xC00000F2, "invalid-parameter-4"},
    {0xC00000F3, "invalid-parameter-5"},
    {0xC00000F4, "invalid-parameter-6"},
    {0xC00000FD, "stack-overflow"},
    {0xC000012D, "commitment-limit"},
    {0xC0000243, "user-mapped-file"},
};

enum { STATUSES = sizeof statuses / sizeof statuses[0] };

// Each touch is one instruction with a name, so that the handler knows what failed and where to go on.
extern char touch_load[], touch_store[], touch_return[];
u32 touch_load_from(const u8 *at);
void touch_store_to(u8 *at, u8 value);
void touch_exec_at(const u8 *at);
// The stack pointer while the code under test runs.
extern usize touch_exec_stack_word;
#define touch_exec_stack touch_exec_stack_word

#ifdef __x86_64__
enum { CONTEXT_IP = 0xf8, CONTEXT_SP = 0x98 };
__asm__(".text\n"
        ".globl touch_load, touch_store, touch_return\n"
        "touch_load_from:\n touch_load: movzbl (%rcx), %eax\n ret\n"
        "touch_store_to:\n touch_store: movb %dl, (%rcx)\n touch_return: ret\n"
        "touch_exec_at:\n lea -8(%rsp), %rax\n mov %rax, touch_exec_stack_word(%rip)\n call *%rcx\n"
        " movq $0, touch_exec_stack_word(%rip)\n ret\n"
        ".lcomm touch_exec_stack_word, 8\n");
#else
enum { CONTEXT_IP = 0xb8, CONTEXT_SP = 0xc4 };
__asm__(".text\n"
        ".globl _touch_load, _touch_store, _touch_return\n"
        "_touch_load_from:\n mov 4(%esp), %eax\n _touch_load: movzbl (%eax), %eax\n ret\n"
        "_touch_store_to:\n mov 4(%esp), %ecx\n mov 8(%esp), %edx\n _touch_store: movb %dl, (%ecx)\n"
        "_touch_return: ret\n"
        "_touch_exec_at:\n mov 4(%esp), %ecx\n lea -4(%esp), %eax\n mov %eax, _touch_exec_stack_word\n call *%ecx\n"
        " movl $0, _touch_exec_stack_word\n ret\n"
        ".lcomm _touch_exec_stack_word, 4\n");
#endif

static usize *context_word(void *context, u32 offset) {
    return (usize *)((u8 *)context + offset);
}

#endif
