// SPDX-License-Identifier: MIT
// A shared object for LD_PRELOAD: makes one call of a program fail, or ends the program at it.
//
//   SHIKAKU_FAULT=KIND:NUMBER:WAY  call NUMBER (1, 2, ...) of a kind, counted from the start of main. WAY: an errno such as
//                                  ENOSPC; SHORT (half of what was asked for is read or written); KILL-BEFORE, KILL-AFTER; MOVE
//                                  (somebody moves the folder away right before, and makes another one in its place)
//                                  NUMBER+: that one and all that follow
//   SHIKAKU_FAULT=count            lists all calls
//   SHIKAKU_FAULT_REPORT=FILE      a line for the call that failed, or for each call: "KIND NUMBER OWNER OFFSET". OWNER is
//                                  "own" where the program made the call, itself or through libc, libm or jansson, and
//                                  else the library that did; OFFSET is the place in that object, for addr2line
//   SHIKAKU_FAULT_FOLDER=DIR       what MOVE moves, to DIR.away
//
// System calls are caught where they enter the kernel (seccomp's SIGSYS), so that those inside libc's streams are among them;
// allocations and threads are caught by name. Nothing here allocates.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

// ---- Kinds of calls ----

#define NONE (-1)
#ifdef SYS_open // the older names, which newer architectures lack
#define OLD(name) SYS_##name
#else
#define OLD(name) NONE
#endif

enum { MOST_NUMBERS = 4, ALLOCATION = 0, THREAD = 1 };
static const struct kind {
    const char *name;
    int number[MOST_NUMBERS]; // of system calls; 0 ends
} kinds[] = {
    {"alloc", {NONE}},
    {"thread", {NONE}},
    {"read", {SYS_read + 0, SYS_pread64, NONE, NONE}},
    {"write", {SYS_write, SYS_pwrite64, SYS_writev, NONE}},
    {"open", {SYS_openat, OLD(open), NONE, NONE}},
    {"close", {SYS_close, NONE, NONE, NONE}},
    {"fsync", {SYS_fsync, SYS_fdatasync, NONE, NONE}},
    {"rename", {SYS_renameat, SYS_renameat2, OLD(rename), NONE}},
    {"unlink", {SYS_unlinkat, OLD(unlink), OLD(rmdir), NONE}},
    {"truncate", {SYS_ftruncate, SYS_fallocate, SYS_truncate, NONE}},
    {"mkdir", {SYS_mkdirat, OLD(mkdir), NONE, NONE}},
    {"lock", {SYS_flock, NONE, NONE, NONE}},
    {"fcntl", {SYS_fcntl, NONE, NONE, NONE}},
    {"stat", {SYS_fstat, SYS_newfstatat, OLD(stat), OLD(lstat)}},
    {"statfs", {SYS_statfs, SYS_fstatfs, NONE, NONE}},
    {"access", {SYS_faccessat, OLD(access), NONE, NONE}},
    {"list", {SYS_getdents64, NONE, NONE, NONE}},
    {"seek", {SYS_lseek, NONE, NONE, NONE}},
    {"map", {SYS_mmap, NONE, NONE, NONE}},
    {"break", {SYS_brk, NONE, NONE, NONE}},
    {"affinity", {SYS_sched_setaffinity, SYS_sched_getaffinity, NONE, NONE}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const struct way {
    const char *name;
    int error;
} ways[] = {
    {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EINTR", EINTR},   {"ENOMEM", ENOMEM}, {"EACCES", EACCES},
    {"EMFILE", EMFILE}, {"EAGAIN", EAGAIN}, {"ENOLCK", ENOLCK}, {"EPERM", EPERM},
};
enum { PASS = 0, SHORT = -1, KILL_BEFORE = -2, KILL_AFTER = -3, MOVE = -4 }; // beside the errors' numbers

// ---- State ----

enum { MOST_OBJECTS = 64, MOST_CALLS = 1 << 17, FRAMES = 64 };
struct object {
    uintptr_t base, first, end;
    const char *name; // NULL: passed over in the search for the one that called
};
struct call {
    uint32_t number, offset;
    uint8_t kind, object;
};
static struct object objects[MOST_OBJECTS];
static unsigned object_count;
static struct call calls[MOST_CALLS]; // where all are listed
static atomic_uint call_count, counts[KINDS];
static bool started, listing, fault_stays;
static unsigned fault_kind, fault_number;
static int fault_way, report = -1;
static char folder[4096], away[4096 + 8];
static _Thread_local bool inside __attribute__((tls_model("initial-exec")));

// ---- System calls that nobody catches ----

long faults_syscall(long number, long a, long b, long c, long d, long e, long f);
extern const char faults_syscall_end[];
#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
__asm__(
    ".text\n.globl faults_syscall\n.hidden faults_syscall\n.hidden faults_syscall_end\n.globl faults_syscall_end\n"
    ".type faults_syscall, @function\nfaults_syscall:\n.cfi_startproc\nmov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\n"
    "mov %rcx, %rdx\nmov %r8, %r10\nmov %r9, %r8\nmov 8(%rsp), %r9\nsyscall\nfaults_syscall_end:\nret\n.cfi_endproc\n");
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
__asm__(
    ".text\n.globl faults_syscall\n.hidden faults_syscall\n.hidden faults_syscall_end\n.globl faults_syscall_end\n"
    ".type faults_syscall, %function\nfaults_syscall:\n.cfi_startproc\nmov x8, x0\nmov x0, x1\nmov x1, x2\nmov x2, x3\n"
    "mov x3, x4\nmov x4, x5\nmov x5, x6\nsvc 0\nfaults_syscall_end:\nret\n.cfi_endproc\n");
#endif

static void end_with(const char *text) {
    faults_syscall(SYS_write, 2, (long)text, (long)strlen(text), 0, 0, 0);
    faults_syscall(SYS_exit_group, 99, 0, 0, 0, 0, 0);
}

// ---- Who called ----

struct search {
    unsigned frames, object;
    uint32_t offset;
};

static _Unwind_Reason_Code look_at_frame(struct _Unwind_Context *context, void *user) {
    struct search *s = user;
    uintptr_t at = _Unwind_GetIP(context);
    for (unsigned i = 0; i < object_count; i++) {
        if (at < objects[i].first || at >= objects[i].end) continue;
        if (!objects[i].name) break;
        s->object = i;
        s->offset = (uint32_t)(at - objects[i].base - 1); // inside the calling instruction
        return _URC_END_OF_STACK;
    }
    return ++s->frames < FRAMES ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static struct search caller(void) {
    struct search s = {.object = MOST_OBJECTS};
    _Unwind_Backtrace(look_at_frame, &s);
    return s;
}

static const char *object_name(unsigned object) { return object < object_count ? objects[object].name : "unknown"; }

static int note_object(struct dl_phdr_info *info, size_t size, void *user) {
    static const char *const passed_over[] = {"libc.", "libm.", "libjansson.", "libgcc_s.", "linux-vdso.", "faults.so"};
    (void)size;
    (void)user;
    if (object_count == MOST_OBJECTS) return 1;
    struct object *o = &objects[object_count];
    const char *slash = strrchr(info->dlpi_name, '/'), *name = slash ? slash + 1 : info->dlpi_name;
    *o = (struct object){.base = info->dlpi_addr, .first = UINTPTR_MAX, .name = object_count ? name : "own"};
    for (size_t i = 0; i < sizeof passed_over / sizeof *passed_over; i++)
        if (strncmp(name, passed_over[i], strlen(passed_over[i])) == 0) o->name = NULL;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD) continue;
        uintptr_t first = info->dlpi_addr + p->p_vaddr;
        if (first < o->first) o->first = first;
        if (first + p->p_memsz > o->end) o->end = first + p->p_memsz;
    }
    object_count++;
    return 0;
}

// ---- Counting ----

// What to do with this call: PASS, an error's number, or one of the ways above.
static int next_call(unsigned kind) {
    if (!started || inside) return PASS;
    unsigned number = 1 + atomic_fetch_add(&counts[kind], 1);
    bool first = number == fault_number;
    bool hit = !listing && kind == fault_kind && (first || (fault_stays && number > fault_number));
    if (!hit && !listing) return PASS;
    if (!listing && !first) return fault_way;
    inside = true;
    struct search s = caller();
    if (listing) {
        unsigned i = atomic_fetch_add(&call_count, 1);
        if (i < MOST_CALLS) calls[i] = (struct call){number, s.offset, (uint8_t)kind, (uint8_t)s.object};
    } else {
        char line[128];
        int length =
            snprintf(line, sizeof line, "%s %u %s 0x%x\n", kinds[kind].name, number, object_name(s.object), s.offset);
        faults_syscall(SYS_write, report, (long)line, length, 0, 0, 0);
    }
    inside = false;
    return hit ? fault_way : PASS;
}

static void kill_self(void) { faults_syscall(SYS_kill, getpid(), SIGKILL, 0, 0, 0, 0); }

__attribute__((destructor)) static void list_calls(void) {
    if (!listing || !started) return;
    started = false;
    unsigned count = atomic_load(&call_count);
    if (count > MOST_CALLS) end_with("faults: too many calls to list\n");
    for (unsigned i = 0; i < count; i++)
        dprintf(report, "%s %u %s 0x%x\n", kinds[calls[i].kind].name, calls[i].number, object_name(calls[i].object),
                calls[i].offset);
}

// ---- System calls ----

static void move_folder(void) {
    const long moved = faults_syscall(SYS_renameat2, AT_FDCWD, (long)folder, AT_FDCWD, (long)away, 0, 0);
    if (moved == 0) faults_syscall(SYS_mkdirat, AT_FDCWD, (long)folder, 0777, 0, 0, 0);
}

static long perform(long number, const long arg[6]) {
    return faults_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static long with_fault(int way, long number, long arg[6]) {
    long result = 0;
    bool counted = number == SYS_read || number == SYS_write || number == SYS_pread64 || number == SYS_pwrite64;
    switch (way) {
    case PASS:
        return perform(number, arg);
    case SHORT:
        if (counted && arg[2] > 1) arg[2] /= 2;
        return perform(number, arg);
    case KILL_BEFORE:
        kill_self();
        return 0;
    case MOVE:
        move_folder();
        return perform(number, arg);
    case KILL_AFTER:
        result = perform(number, arg);
        kill_self();
        return result;
    default:
        if (number == SYS_close) perform(number, arg); // it is closed then, whatever close says
        if (number == SYS_brk) return faults_syscall(SYS_brk, 0, 0, 0, 0, 0, 0); // where it was
        return -way;
    }
}

static void on_call(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
#if defined __x86_64__
    long arg[6] = {m->gregs[REG_RDI], m->gregs[REG_RSI], m->gregs[REG_RDX],
                   m->gregs[REG_R10], m->gregs[REG_R8],  m->gregs[REG_R9]};
#else
    long arg[6];
    for (int i = 0; i < 6; i++) arg[i] = (long)m->regs[i];
#endif
    unsigned kind = 0;
    for (unsigned i = 0; i < KINDS; i++)
        for (unsigned j = 0; j < MOST_NUMBERS; j++)
            if (kinds[i].number[j] == info->si_syscall && (i > THREAD)) kind = i;
    // Errors can always be said: stderr is left alone.
    bool counted = !(strcmp(kinds[kind].name, "write") == 0 && arg[0] == STDERR_FILENO);
    long result = with_fault(counted ? next_call(kind) : PASS, info->si_syscall, arg);
#if defined __x86_64__
    m->gregs[REG_RAX] = result;
#else
    m->regs[0] = (unsigned long)result;
#endif
}

static void catch_calls(void) {
    struct sock_filter program[8 + 2 * KINDS * MOST_NUMBERS];
    unsigned short n = 0;
    uint32_t low = (uint32_t)(uintptr_t)faults_syscall_end,
             high = (uint32_t)((uint64_t)(uintptr_t)faults_syscall_end >> 32);
#define WORD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (field))
#define SKIP_UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (count))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
    const struct sock_filter head[] = {
        WORD(offsetof(struct seccomp_data, instruction_pointer)), // little-endian
        SKIP_UNLESS(low, 3),
        WORD(offsetof(struct seccomp_data, instruction_pointer) + 4),
        SKIP_UNLESS(high, 1),
        RETURN(SECCOMP_RET_ALLOW),
        WORD(offsetof(struct seccomp_data, nr)),
    };
    for (; n < sizeof head / sizeof *head; n++) program[n] = head[n];
    for (unsigned i = THREAD + 1; i < KINDS; i++)
        for (unsigned j = 0; j < MOST_NUMBERS; j++) {
            if (kinds[i].number[j] == NONE) continue;
            program[n++] = (struct sock_filter)SKIP_UNLESS((uint32_t)kinds[i].number[j], 1);
            program[n++] = (struct sock_filter)RETURN(SECCOMP_RET_TRAP);
        }
    program[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    const struct sock_fprog filter = {.len = n, .filter = program};
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGSYS, &action, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        end_with("faults: system calls cannot be caught here (seccomp)\n");
}

// ---- Start ----

static bool read_settings(const char *text) {
    char kind[16], way[16], plus[2] = "";
    if (strcmp(text, "count") == 0) return listing = true;
    if (sscanf(text, "%15[a-z]:%u:%15[A-Z-]", kind, &fault_number, way) != 3 &&
        sscanf(text, "%15[a-z]:%u%1[+]:%15[A-Z-]", kind, &fault_number, plus, way) != 4)
        return false;
    fault_stays = *plus;
    for (fault_kind = 0; fault_kind < KINDS && strcmp(kinds[fault_kind].name, kind) != 0;) fault_kind++;
    fault_way = strcmp(way, "SHORT") == 0         ? SHORT
                : strcmp(way, "KILL-BEFORE") == 0 ? KILL_BEFORE
                : strcmp(way, "KILL-AFTER") == 0  ? KILL_AFTER
                : strcmp(way, "MOVE") == 0        ? MOVE
                                                  : PASS;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i].name, way) == 0) fault_way = ways[i].error;
    return fault_kind < KINDS && fault_way != PASS;
}

static int (*real_main)(int, char **, char **);
static int (*real_thread)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static int main_with_faults(int argc, char **argv, char **environment) {
    const char *settings = getenv("SHIKAKU_FAULT"), *file = getenv("SHIKAKU_FAULT_REPORT");
    if (settings) {
        int low = file ? open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
        report = low >= 0 ? fcntl(low, F_DUPFD_CLOEXEC, 500) : -1; // the program's own numbers stay as they are
        const char *moves = getenv("SHIKAKU_FAULT_FOLDER");
        snprintf(folder, sizeof folder, "%s", moves ? moves : "");
        snprintf(away, sizeof away, "%s.away", folder);
        if (!read_settings(settings) || report < 0) end_with("faults: bad SHIKAKU_FAULT or SHIKAKU_FAULT_REPORT\n");
        close(low);
        caller(); // what the unwinder sets up once
        dl_iterate_phdr(note_object, NULL);
        catch_calls();
        started = true;
    }
    return real_main(argc, argv, environment);
}

typedef int start_function(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void),
                           void *);
start_function __libc_start_main;
int __libc_start_main(int (*start)(int, char **, char **), int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*loader_fini)(void), void *stack_end) {
    start_function *next = (start_function *)dlsym(RTLD_NEXT, "__libc_start_main");
    real_thread =
        (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
    real_main = start;
    return next(main_with_faults, argc, argv, init, fini, loader_fini, stack_end);
}

// ---- Threads and allocations ----

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *), void *arg) {
    int way = next_call(THREAD);
    return way > 0 ? way : real_thread(thread, attributes, work, arg);
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);

static bool refused(void) {
    int way = next_call(ALLOCATION);
    if (way > 0) errno = way;
    return way > 0;
}

void *malloc(size_t size) { return refused() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return refused() ? NULL : __libc_calloc(count, size); }
void *realloc(void *block, size_t size) { return refused() ? NULL : __libc_realloc(block, size); }
void *aligned_alloc(size_t alignment, size_t size) { return refused() ? NULL : __libc_memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    void *block = refused() ? NULL : __libc_memalign(alignment, size);
    if (!block) return ENOMEM;
    *out = block;
    return 0;
}
