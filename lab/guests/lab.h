// What the guests of labs share: they stop at each step with the addresses that matter.
#ifndef LAB_H
#define LAB_H

#include "guest.h"

IMPORT void CALL OutputDebugStringA(const char *text);

// Begins the line of a step: `lab: STEP`.
static void step(const char *name) {
    put("lab: ");
    put(name);
}

// Adds an address to it: ` NAME=ADDRESS`.
static void with(const char *name, const volatile void *address) {
    put_char(' ');
    put(name);
    put_char('=');
    put_hex((usize)address);
}

// Ends it. Whoever watches debug texts can stop the program here and look.
static void stop(void) {
    line[line_length] = 0;
    OutputDebugStringA(line);
    line_length = 0;
}

// A step that is about one address.
static void stop_at(const char *name, const char *what, const volatile void *address) {
    step(name);
    with(what, address);
    stop();
}

// Ends the run when what a lab relies on is not so.
static void expect(i32 holds, const char *what) {
    if (holds) return;
    put("not so: ");
    say(what);
    ExitProcess(1);
}

// Reads a byte, for the sake of the touch.
static u8 peek(const volatile u8 *byte) {
    return *byte;
}

#endif
