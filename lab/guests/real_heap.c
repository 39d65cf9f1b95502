// What a real heap asks of the memory manager: the default heap's address space, a heap that grows by commit, blocks so large that they
// are allocations of their own, and what is given back.
#include "guest.h"

typedef Handle CALL Create(u32 options, usize initial, usize maximum);
typedef i32 CALL Destroy(Handle heap);

enum { BLOCKS = 400, BLOCK_BYTES = 10000 };

static Create *create;
static Destroy *destroy;
static u8 *blocks[BLOCKS];

static void *function(const char *name) {
    void *found = GetProcAddress(GetModuleHandleA("kernel32.dll"), name);
    if (!found) fail(name);
    return found;
}

// Committed bytes of one allocation.
static usize committed(u8 *base) {
    usize sum = 0;
    for (Region region = query(base); region.allocation_base == base && region.state != MEM_FREE;
         region = query(region.base + region.size_bytes)) {
        if (region.state == MEM_COMMIT) sum += region.size_bytes;
    }
    return sum;
}

// The allocations that a heap's blocks lie in: how many, and what is committed of them.
static void say_heap(const char *when, u32 count) {
    u8 *known[32];
    u32 segments = 0;
    usize sum = 0;
    for (u32 i = 0; i < count; i++) {
        u8 *base = query(blocks[i]).allocation_base;
        u32 at = 0;
        while (at < segments && known[at] != base) at++;
        if (at == segments && segments < 32) {
            known[segments++] = base;
            sum += committed(base);
        }
    }
    put("  ");
    put(when);
    put(": segments ");
    put_decimal(segments);
    put(", committed ");
    put_decimal(sum);
    end_line();
}

static u8 *block(Handle heap, usize bytes) {
    u8 *made = HeapAlloc(heap, 0, bytes);
    if (!made) fail("HeapAlloc");
    for (usize at = 0; at < bytes; at += PAGE_BYTES) made[at] = 1;
    return made;
}

static void grow_and_shrink(void) {
    Handle heap = create(0, 0, 0);
    if (!heap) fail("HeapCreate");
    say("a heap that may grow");
    put("  its handle is where its first segment begins, on 64 KiB: ");
    say(query(heap).allocation_base == (u8 *)heap && ((usize)heap & 0xffff) == 0 ? "yes" : "no");
    blocks[0] = block(heap, BLOCK_BYTES);
    Region first = query(blocks[0]);
    put("  first block in a region ");
    put_state(first.state);
    put(" ");
    put_protection(first.protect);
    put(" ");
    put_type(first.type);
    end_line();
    say_heap("one block", 1);
    for (u32 i = 1; i < BLOCKS; i++) blocks[i] = block(heap, BLOCK_BYTES);
    say_heap("all blocks", BLOCKS);
    for (u32 i = 1; i < BLOCKS; i++) HeapFree(heap, 0, blocks[i]);
    say_heap("one left", 1);
    u8 *base = query(blocks[0]).allocation_base;
    destroy(heap);
    put("  destroyed: ");
    put_state(query(base).state);
    end_line();
}

static void large(void) {
    enum { LARGE = 4 << 20 };
    Handle heap = create(0, 0, 0);
    u8 *small = block(heap, 100), *made = block(heap, LARGE);
    Region region = query(made);
    say("a large block");
    put("  an allocation of its own: ");
    say(region.allocation_base != query(small).allocation_base ? "yes" : "no");
    put("  its pages are committed: ");
    say(committed(region.allocation_base) >= LARGE ? "yes" : "no");
    HeapFree(heap, 0, made);
    put("  freed: ");
    put_state(query(made).state);
    end_line();
    destroy(heap);
}

static void fixed(void) {
    Handle heap = create(0, 0x10000, 0x40000);
    u32 count = 0;
    say("a heap that may not grow");
    while (count < BLOCKS && (blocks[count] = HeapAlloc(heap, 0, BLOCK_BYTES))) count++;
    put("  full: ");
    say(count > 15 && count < 27 ? "yes" : "no");
    put("  one segment: ");
    say(query(blocks[0]).allocation_base == query(blocks[count - 1]).allocation_base ? "yes" : "no");
    destroy(heap);
}

static void executable(void) {
    enum { ENABLE_EXECUTE = 0x40000 };
    Handle heap = create(ENABLE_EXECUTE, 0, 0);
    say("a heap of code");
    put("  its blocks are ");
    put_protection(query(block(heap, 100)).protect);
    end_line();
    destroy(heap);
}

void start(void) {
    create = (Create *)function("HeapCreate");
    destroy = (Destroy *)function("HeapDestroy");
    grow_and_shrink();
    large();
    fixed();
    executable();
    ExitProcess(0);
}
