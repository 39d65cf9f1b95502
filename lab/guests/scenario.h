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

// Registers of an instruction under test, in the order of their encoding; the stack pointer's place is not used.
enum { AX, CX, DX, BX, SP, BP, SI, DI, REGISTERS };
static const char *const register_names[REGISTERS] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};

// What `run_code` loads and stores, and the stack pointer while the code runs: what fails there can be undone.
extern usize run_registers[REGISTERS], run_code_at, run_stack;
void run_code(void);

#ifdef __x86_64__
enum { CONTEXT_IP = 0xf8, CONTEXT_SP = 0x98 };
__asm__(".text\n"
        "run_code:\n push %rbx\n push %rbp\n push %rsi\n push %rdi\n"
        " lea run_registers(%rip), %r11\n"
        " mov (%r11), %rax\n mov 8(%r11), %rcx\n mov 16(%r11), %rdx\n mov 24(%r11), %rbx\n"
        " mov 40(%r11), %rbp\n mov 48(%r11), %rsi\n mov 56(%r11), %rdi\n"
        " lea -8(%rsp), %r10\n mov %r10, run_stack(%rip)\n"
        " call *run_code_at(%rip)\n"
        " lea run_registers(%rip), %r11\n"
        " mov %rax, (%r11)\n mov %rcx, 8(%r11)\n mov %rdx, 16(%r11)\n mov %rbx, 24(%r11)\n"
        " mov %rbp, 40(%r11)\n mov %rsi, 48(%r11)\n mov %rdi, 56(%r11)\n"
        " movq $0, run_stack(%rip)\n cld\n"
        " pop %rdi\n pop %rsi\n pop %rbp\n pop %rbx\n ret\n"
        ".lcomm run_registers, 64\n.lcomm run_code_at, 8\n.lcomm run_stack, 8\n");
#else
enum { CONTEXT_IP = 0xb8, CONTEXT_SP = 0xc4 };
__asm__(".text\n"
        "_run_code:\n push %ebx\n push %ebp\n push %esi\n push %edi\n"
        " mov _run_registers, %eax\n mov _run_registers+4, %ecx\n mov _run_registers+8, %edx\n"
        " mov _run_registers+12, %ebx\n mov _run_registers+20, %ebp\n mov _run_registers+24, %esi\n"
        " lea -4(%esp), %edi\n mov %edi, _run_stack\n mov _run_registers+28, %edi\n"
        " call *_run_code_at\n"
        " mov %eax, _run_registers\n mov %ecx, _run_registers+4\n mov %edx, _run_registers+8\n"
        " mov %ebx, _run_registers+12\n mov %ebp, _run_registers+20\n mov %esi, _run_registers+24\n"
        " mov %edi, _run_registers+28\n movl $0, _run_stack\n cld\n"
        " pop %edi\n pop %esi\n pop %ebp\n pop %ebx\n ret\n"
        ".lcomm _run_registers, 32\n.lcomm _run_code_at, 4\n.lcomm _run_stack, 4\n");
#endif

static usize *context_word(void *context, u32 offset) {
    return (usize *)((u8 *)context + offset);
}

#endif
