// Waits: events, mutexes and semaphores, one of many and all of many, timers and APCs.
#include "threads.h"

enum { WORKERS = 4 };

static void say_wait(const char *what, u32 result) {
    put("  ");
    put(what);
    put(": ");
    if (result == WAIT_TIMEOUT) put("timeout");
    else if (result == WAIT_IO_COMPLETION) put("apc");
    else if (result >= WAIT_ABANDONED_0 && result < WAIT_ABANDONED_0 + 64) put("abandoned "), put_decimal(result - 128);
    else if (result < 64) put("object "), put_decimal(result);
    else put("failed "), put_decimal(GetLastError());
    end_line();
}

static Handle gate;
static volatile u32 passed;

static u32 CALL pass(void *argument) {
    u32 result = WaitForSingleObject(gate, INFINITE);
    passed++;
    (void)argument;
    return result;
}

static void begin_all(Handle *threads, ThreadFunction *function) {
    for (usize i = 0; i < WORKERS; i++) threads[i] = begin(function, (void *)i);
    Sleep(10);
}

static void join_all(Handle *threads) {
    for (u32 i = 0; i < WORKERS; i++) end_of(threads[i]);
}

static void events(void) {
    Handle threads[WORKERS];
    say("events");
    gate = new_event(0);
    begin_all(threads, pass);
    for (u32 i = 1; i <= 2; i++) {
        SetEvent(gate);
        Sleep(10);
        say_number("passed an event that resets itself:", passed);
    }
    SetEvent(gate);
    SetEvent(gate);
    Sleep(10);
    say_number("passed after two at once:", passed);
    if (passed < WORKERS) SetEvent(gate);
    join_all(threads);
    say_wait("it is not set now", WaitForSingleObject(gate, 0));
    SetEvent(gate);
    say_wait("set", WaitForSingleObject(gate, 0));
    say_wait("and taken", WaitForSingleObject(gate, 0));
    CloseHandle(gate);
    gate = new_event(1);
    passed = 0;
    begin_all(threads, pass);
    PulseEvent(gate);
    Sleep(10);
    say_number("passed a pulse:", passed);
    join_all(threads);
    say_wait("after the pulse", WaitForSingleObject(gate, 0));
    SetEvent(gate);
    say_wait("an event that stays set", WaitForSingleObject(gate, 0));
    say_wait("once more", WaitForSingleObject(gate, 0));
    CloseHandle(gate);
}

static Handle mutex;

static u32 CALL abandon(void *argument) {
    (void)argument;
    if (WaitForSingleObject(mutex, INFINITE) != WAIT_OBJECT_0) return 1;
    return 0;
}

static u32 CALL release_wrongly(void *argument) {
    (void)argument;
    if (ReleaseMutex(mutex)) return 0;
    return GetLastError();
}

static void mutexes(void) {
    say("mutexes");
    mutex = CreateMutexA(0, 1, 0);
    say_wait("its owner again", WaitForSingleObject(mutex, 0));
    say_number("another thread lets it go: error", end_of(begin(release_wrongly, 0)));
    Handle thread = begin(abandon, 0);
    Sleep(10);
    ReleaseMutex(mutex);
    say_wait("the other thread waits still", WaitForSingleObject(thread, 10));
    ReleaseMutex(mutex);
    say_number("the other thread got it and ended:", end_of(thread));
    say_wait("it did not let it go", WaitForSingleObject(mutex, INFINITE));
    ReleaseMutex(mutex);
    say_wait("now it is as any other", WaitForSingleObject(mutex, 0));
    ReleaseMutex(mutex);
    say_number("let go once too often:", (usize)ReleaseMutex(mutex));
    Handle both[2] = {new_event(0), mutex};
    end_of(begin(abandon, 0));
    say_wait("one of an event and one abandoned", WaitForMultipleObjects(2, both, 0, 100));
    ReleaseMutex(mutex);
    end_of(begin(abandon, 0));
    SetEvent(both[0]);
    say_wait("all of them", WaitForMultipleObjects(2, both, 1, 100));
    CloseHandle(both[0]);
    CloseHandle(mutex);
}

static Handle tokens;
static volatile u32 inside, most_inside;

static u32 CALL visit(void *argument) {
    for (u32 i = 0; i < 5; i++) {
        WaitForSingleObject(tokens, INFINITE);
        u32 now = ++inside;
        if (now > most_inside) most_inside = now;
        Sleep(2);
        inside--;
        ReleaseSemaphore(tokens, 1, 0);
    }
    (void)argument;
    return 0;
}

static void semaphores(void) {
    Handle threads[WORKERS];
    say("semaphores");
    tokens = CreateSemaphoreA(0, 2, 3, 0);
    begin_all(threads, visit);
    join_all(threads);
    say_number("most at one time:", most_inside);
    i32 previous = 0;
    say_number("one more:", (usize)ReleaseSemaphore(tokens, 1, &previous));
    say_number("before that there were", (usize)previous);
    say_number("past its maximum:", (usize)ReleaseSemaphore(tokens, 1, 0));
    say_number("error", GetLastError());
    CloseHandle(tokens);
}

static Handle many[3];

static u32 CALL wait_for_all(void *argument) {
    (void)argument;
    return WaitForMultipleObjects(3, many, 1, INFINITE);
}

static void several(void) {
    say("several objects");
    for (u32 i = 0; i < 3; i++) many[i] = new_event(0);
    SetEvent(many[2]);
    SetEvent(many[1]);
    say_wait("the first that is set", WaitForMultipleObjects(3, many, 0, INFINITE));
    say_wait("then the next", WaitForMultipleObjects(3, many, 0, INFINITE));
    say_wait("then none", WaitForMultipleObjects(3, many, 0, 10));
    Handle thread = begin(wait_for_all, 0);
    Sleep(5);
    SetEvent(many[0]);
    SetEvent(many[1]);
    Sleep(5);
    say_wait("two of three do not do", WaitForSingleObject(thread, 0));
    say_wait("and are not taken", WaitForSingleObject(many[0], 0));
    SetEvent(many[2]);
    Sleep(5);
    say_wait("one is missing again", WaitForSingleObject(thread, 0));
    SetEvent(many[0]);
    say_number("all three:", end_of(thread));
    say_wait("all are taken", WaitForMultipleObjects(3, many, 0, 0));
    Handle twice[2] = {many[0], many[0]};
    say_wait("one object twice", WaitForMultipleObjects(2, twice, 1, 0));
    say_wait("no object", WaitForMultipleObjects(0, many, 1, 0));
    CloseHandle(many[1]);
    say_wait("a closed one", WaitForMultipleObjects(3, many, 1, 0));
    CloseHandle(many[0]);
    CloseHandle(many[2]);
}

static Handle there, back;

static u32 CALL answer(void *argument) {
    for (u32 i = 0; i < 10; i++) {
        WaitForSingleObject(there, INFINITE);
        ++*(volatile u32 *)argument;
        SetEvent(back);
    }
    return 0;
}

static void ping_pong(void) {
    say("signal and wait");
    volatile u32 rounds = 0;
    there = new_event(0);
    back = new_event(0);
    Handle thread = begin(answer, (void *)&rounds);
    u32 wrong = 0;
    for (u32 i = 1; i <= 10; i++) {
        if (SignalObjectAndWait(there, back, INFINITE, 0) != WAIT_OBJECT_0 || rounds != i) wrong++;
    }
    end_of(thread);
    say_number("rounds", rounds);
    say_number("wrong:", wrong);
    CloseHandle(there);
    CloseHandle(back);
}

static u32 ticks_by_apc;

static void CALL tick(void *argument, u32 low, u32 high) {
    (void)low;
    if (argument == &ticks_by_apc && high != 0) ticks_by_apc++;
}

static void timers(void) {
    say("timers");
    i64 due = -500000;
    Handle timer = CreateWaitableTimerA(0, 0, 0);
    u32 before = GetTickCount();
    if (!SetWaitableTimer(timer, &due, 0, 0, 0, 0)) fail("SetWaitableTimer");
    say_wait("not yet", WaitForSingleObject(timer, 0));
    say_wait("once", WaitForSingleObject(timer, INFINITE));
    u32 took = GetTickCount() - before;
    say_if(took >= 31 && took <= 79, "after 50 ms");
    say_wait("and not again", WaitForSingleObject(timer, 100));
    before = GetTickCount();
    SetWaitableTimer(timer, &due, 20, 0, 0, 0);
    u32 periods = 0;
    while (periods < 10 && WaitForSingleObject(timer, 1000) == WAIT_OBJECT_0) periods++;
    took = GetTickCount() - before;
    say_number("periods", periods);
    say_if(took >= 210 && took <= 260, "10 of them in 230 ms");
    CancelWaitableTimer(timer);
    say_wait("stopped", WaitForSingleObject(timer, 100));
    SetWaitableTimer(timer, &due, 10, tick, &ticks_by_apc, 0);
    while (ticks_by_apc < 5) say_wait("asleep", SleepEx(INFINITE, 1));
    CloseHandle(timer);
    say_wait("its handle is closed", SleepEx(50, 1) ? WAIT_IO_COMPLETION : WAIT_TIMEOUT);
    timer = CreateWaitableTimerA(0, 1, 0);
    due = 1;
    SetWaitableTimer(timer, &due, 0, 0, 0, 0);
    say_wait("a moment long past", WaitForSingleObject(timer, 0));
    say_wait("it stays set", WaitForSingleObject(timer, 0));
    CloseHandle(timer);
}

static u32 sum_of_apcs;

static void CALL add(usize argument) {
    sum_of_apcs = sum_of_apcs * 10 + (u32)argument;
}

static u32 CALL sleep_alertably(void *argument) {
    (void)argument;
    u32 own = sum_of_apcs;
    if (SleepEx(INFINITE, 1) != WAIT_IO_COMPLETION) return 0;
    return own;
}

static void apcs(void) {
    Handle self = (Handle)-2;
    say("APCs");
    QueueUserAPC(add, self, 1);
    QueueUserAPC(add, self, 2);
    say_wait("a wait that is not alertable", WaitForSingleObjectEx((Handle)-2, 5, 0));
    say_number("sum", sum_of_apcs);
    say_wait("one that is", WaitForSingleObjectEx((Handle)-2, 5, 1));
    say_number("sum", sum_of_apcs);
    say_wait("and then", WaitForSingleObjectEx((Handle)-2, 5, 1));
    Handle thread = begin_suspended(sleep_alertably, 0);
    QueueUserAPC(add, thread, 3);
    ResumeThread(thread);
    Sleep(10);
    say_number("an APC comes before the thread begins:", sum_of_apcs);
    QueueUserAPC(add, thread, 4);
    say_number("and one when it sleeps:", end_of(thread));
    say_number("sum", sum_of_apcs);
    thread = begin(pass, 0);
    end_of(thread);
}

void start(void) {
    events();
    mutexes();
    semaphores();
    several();
    ping_pong();
    timers();
    gate = new_event(1);
    SetEvent(gate);
    apcs();
    ExitProcess(0);
}
