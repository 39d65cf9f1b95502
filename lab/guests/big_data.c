// Reserves far more than RAM, commits and fills part of it, reads it back and prints a checksum.
//
// The argument is the part to fill in MiB (64 without one). Word number i of the part is i * 0x9e3779b1 + 0x7f4a7c15;
// the checksum starts at 0 and takes each word in turn: rotate left by 5, then exclusive-or. All 32-bit.
#include "guest.h"

#define RESERVE_MIB (sizeof(usize) == 8 ? (usize)64 << 10 : (usize)1 << 10)
enum { DEFAULT_MIB = 64 };

static u32 pattern(usize index) { return (u32)index * 0x9e3779b1u + 0x7f4a7c15u; }

static void fill(volatile u32 *words, usize count) {
    for (usize i = 0; i < count; i++) words[i] = pattern(i);
}

static u32 checksum(const volatile u32 *words, usize count) {
    u32 sum = 0;
    for (usize i = 0; i < count; i++) sum = ((sum << 5) | (sum >> 27)) ^ words[i];
    return sum;
}

static usize wrong_words(const volatile u32 *words, usize count) {
    usize wrong = 0;
    for (usize i = 0; i < count; i++) wrong += words[i] != pattern(i);
    return wrong;
}

void start(void) {
    usize part_mib = number_argument(DEFAULT_MIB);
    if (part_mib == 0 || part_mib > RESERVE_MIB) {
        say("usage: big_data [MIB], from 1 to what is reserved");
        ExitProcess(2);
    }
    usize part_bytes = part_mib * MIB;
    usize words = part_bytes / sizeof(u32);

    u8 *base = allocate(0, RESERVE_MIB * MIB, MEM_RESERVE, PAGE_READWRITE);
    put("reserved ");
    put_decimal(RESERVE_MIB);
    put(" MiB");
    end_line();

    allocate(base, part_bytes, MEM_COMMIT, PAGE_READWRITE);
    put("committed ");
    put_decimal(part_mib);
    put(" MiB");
    end_line();

    fill((volatile u32 *)base, words);
    put("checksum ");
    put_hex(checksum((volatile u32 *)base, words));
    end_line();

    usize wrong = wrong_words((volatile u32 *)base, words);
    put("wrong words ");
    put_decimal(wrong);
    end_line();
    if (!VirtualFree(base, 0, MEM_RELEASE)) fail("VirtualFree");
    ExitProcess(wrong == 0 ? 0 : 1);
}
