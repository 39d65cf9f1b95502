// Threads and what they wait for, beside what every guest has.
#ifndef THREADS_H
#define THREADS_H

#include "guest.h"

enum {
    CREATE_SUSPENDED = 4,
    STACK_SIZE_PARAM_IS_A_RESERVATION = 0x10000,

    WAIT_OBJECT_0 = 0,
    WAIT_ABANDONED_0 = 0x80,
    WAIT_IO_COMPLETION = 0xc0,
    WAIT_TIMEOUT = 258,
    STILL_ACTIVE = 259,
};

#define INFINITE 0xffffffffu

typedef long long i64;
typedef u32 CALL ThreadFunction(void *argument);
typedef void CALL ApcFunction(usize argument);
typedef void CALL TimerFunction(void *argument, u32 low, u32 high);

// A critical section: its fields are Windows' own.
typedef struct {
    void *debug;
    i32 lock_count;
    i32 recursion;
    Handle owner;
    Handle semaphore;
    usize spin_count;
} Section;
SIZE_IS(Section, 40, 24);

// A slim lock, a condition variable, an initialise-once block.
typedef struct {
    void *word;
} Word;

IMPORT Handle CALL CreateThread(void *attributes, usize stack, ThreadFunction *function, void *argument, u32 flags,
                                u32 *id);
IMPORT void CALL NORETURN ExitThread(u32 code);
IMPORT i32 CALL TerminateThread(Handle thread, u32 code);
IMPORT i32 CALL GetExitCodeThread(Handle thread, u32 *code);
IMPORT u32 CALL GetCurrentThreadId(void);
IMPORT u32 CALL GetThreadId(Handle thread);
IMPORT Handle CALL OpenThread(u32 access, i32 inherit, u32 id);
IMPORT u32 CALL SuspendThread(Handle thread);
IMPORT u32 CALL ResumeThread(Handle thread);
IMPORT i32 CALL GetThreadPriority(Handle thread);
IMPORT i32 CALL SetThreadPriority(Handle thread, i32 priority);
IMPORT i32 CALL SwitchToThread(void);
IMPORT void CALL Sleep(u32 milliseconds);
IMPORT u32 CALL SleepEx(u32 milliseconds, i32 alertable);
IMPORT u32 CALL GetTickCount(void);
IMPORT i32 CALL CloseHandle(Handle object);

IMPORT Handle CALL CreateEventA(void *attributes, i32 manual_reset, i32 set, const char *name);
IMPORT i32 CALL SetEvent(Handle event);
IMPORT i32 CALL ResetEvent(Handle event);
IMPORT i32 CALL PulseEvent(Handle event);
IMPORT Handle CALL CreateMutexA(void *attributes, i32 owned, const char *name);
IMPORT i32 CALL ReleaseMutex(Handle mutex);
IMPORT Handle CALL CreateSemaphoreA(void *attributes, i32 count, i32 maximum, const char *name);
IMPORT i32 CALL ReleaseSemaphore(Handle semaphore, i32 count, i32 *previous);
IMPORT u32 CALL WaitForSingleObject(Handle object, u32 milliseconds);
IMPORT u32 CALL WaitForMultipleObjects(u32 count, const Handle *objects, i32 all, u32 milliseconds);
IMPORT u32 CALL WaitForSingleObjectEx(Handle object, u32 milliseconds, i32 alertable);
IMPORT u32 CALL QueueUserAPC(ApcFunction *function, Handle thread, usize argument);
IMPORT Handle CALL CreateWaitableTimerA(void *attributes, i32 manual_reset, const char *name);
IMPORT i32 CALL SetWaitableTimer(Handle timer, const i64 *due, i32 period, TimerFunction *function, void *argument,
                                 i32 resume);
IMPORT i32 CALL CancelWaitableTimer(Handle timer);
IMPORT i32 CALL GetThreadContext(Handle thread, void *context);
IMPORT i32 CALL SetThreadContext(Handle thread, const void *context);
IMPORT i32 CALL SetThreadStackGuarantee(u32 *bytes);
IMPORT i32 CALL DisableThreadLibraryCalls(Handle module);
IMPORT u32 CALL SignalObjectAndWait(Handle signal, Handle wait, u32 milliseconds, i32 alertable);

IMPORT void CALL InitializeCriticalSection(Section *section);
IMPORT void CALL EnterCriticalSection(Section *section);
IMPORT i32 CALL TryEnterCriticalSection(Section *section);
IMPORT void CALL LeaveCriticalSection(Section *section);
IMPORT void CALL DeleteCriticalSection(Section *section);
IMPORT void CALL AcquireSRWLockExclusive(Word *lock);
IMPORT void CALL ReleaseSRWLockExclusive(Word *lock);
IMPORT void CALL AcquireSRWLockShared(Word *lock);
IMPORT void CALL ReleaseSRWLockShared(Word *lock);
IMPORT i32 CALL SleepConditionVariableCS(Word *variable, Section *section, u32 milliseconds);
IMPORT i32 CALL SleepConditionVariableSRW(Word *variable, Word *lock, u32 milliseconds, u32 flags);
IMPORT void CALL WakeConditionVariable(Word *variable);
IMPORT void CALL WakeAllConditionVariable(Word *variable);
IMPORT i32 CALL WaitOnAddress(volatile void *value, const void *unwanted, usize bytes, u32 milliseconds);
IMPORT void CALL WakeByAddressSingle(void *value);
IMPORT void CALL WakeByAddressAll(void *value);

static Handle begin(ThreadFunction *function, void *argument) {
    Handle thread = CreateThread(0, 0, function, argument, 0, 0);
    if (!thread) fail("CreateThread");
    return thread;
}

static Handle begin_suspended(ThreadFunction *function, void *argument) {
    Handle thread = CreateThread(0, 0, function, argument, CREATE_SUSPENDED, 0);
    if (!thread) fail("CreateThread");
    return thread;
}

static u32 exit_code(Handle thread) {
    u32 code = 0;
    if (!GetExitCodeThread(thread, &code)) fail("GetExitCodeThread");
    return code;
}

// Waits for a thread's end and gives its handle back.
static u32 end_of(Handle thread) {
    if (WaitForSingleObject(thread, INFINITE) != WAIT_OBJECT_0) fail("WaitForSingleObject");
    u32 code = exit_code(thread);
    CloseHandle(thread);
    return code;
}

static Handle new_event(i32 manual_reset) {
    Handle event = CreateEventA(0, manual_reset, 0, 0);
    if (!event) fail("CreateEventA");
    return event;
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

#endif
