/* mr_test.c - see mr_test.h. The only place that knows cmocka. */
#include "mr_test.h"
#include "base/assert.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct mr_test_case *first_test;
static uint32_t test_count;
static struct mr_heap heap;
static bool heap_ready;
static char dir_path[512];
static char skip_names[4096];
static uint32_t skip_count;
static const struct mr_test_case *running;
static pid_t child_pid;

/* ---- registration ---- */

/* In the order of the lines of a file: constructors alone do not promise an order. */
void mr_test_add(struct mr_test_case *test)
{
    struct mr_test_case **at = &first_test;

    while (*at != NULL && (strcmp((*at)->file, test->file) != 0 || (*at)->line < test->line)) {
        at = &(*at)->next;
    }
    test->next = *at;
    *at = test;
    test_count++;
}

/* ---- expectations ---- */

void mr_test_fail(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_error("%s:%d: %s\n", file, line, text);
    _fail(file, line);
    abort(); /* _fail does not return, but says so nowhere */
}

void mr_test_skip(const char *reason)
{
    size_t used = strlen(skip_names);

    print_message("skipped: %s: %s\n", running->name, reason);
    (void)snprintf(skip_names + used, sizeof skip_names - used, "%s%s (%s)", used ? "; " : "",
                   running->name, reason);
    skip_count++;
    _skip(running->file, running->line);
    abort();
}

void mr_test_eq_int(int64_t actual, int64_t expected, const char *what, const char *file, int line)
{
    if (actual == expected) return;
    mr_test_fail(file, line, "%s is %lld, expected %lld", what, (long long)actual,
                 (long long)expected);
}

void mr_test_eq_uint(uint64_t actual, uint64_t expected, const char *what, const char *file,
                     int line)
{
    if (actual == expected) return;
    mr_test_fail(file, line, "%s is %llu (0x%llx), expected %llu (0x%llx)", what,
                 (unsigned long long)actual, (unsigned long long)actual,
                 (unsigned long long)expected, (unsigned long long)expected);
}

void mr_test_eq_double(double actual, double expected, const char *what, const char *file, int line)
{
    if (isnan(actual) && isnan(expected)) return;
    if (memcmp(&actual, &expected, sizeof actual) == 0) return;
    mr_test_fail(file, line, "%s is %.17g, expected %.17g", what, actual, expected);
}

void mr_test_eq_str(const char *actual, const char *expected, const char *what, const char *file,
                    int line)
{
    if (actual == NULL || expected == NULL) {
        if (actual == expected) return;
        mr_test_fail(file, line, "%s is %s, expected %s", what, actual ? actual : "NULL",
                     expected ? expected : "NULL");
    }
    if (strcmp(actual, expected) == 0) return;
    mr_test_fail(file, line, "%s is\n---\n%s\n--- expected\n%s\n---", what, actual, expected);
}

void mr_test_eq_text(const void *data, size_t size_bytes, const char *expected, const char *what,
                     const char *file, int line)
{
    if (size_bytes == strlen(expected) && memcmp(data, expected, size_bytes) == 0) return;
    mr_test_fail(file, line, "%s is\n---\n%.*s\n--- expected\n%s\n---", what,
                 (int)MR_MIN(size_bytes, (size_t)1000), (const char *)data, expected);
}

void mr_test_eq_bytes(const void *actual, const void *expected, size_t size_bytes, const char *what,
                      const char *file, int line)
{
    const unsigned char *a = actual;
    const unsigned char *b = expected;

    for (size_t i = 0; i < size_bytes; i++) {
        if (a[i] == b[i]) continue;
        mr_test_fail(file, line, "%s: byte %zu is 0x%02x, expected 0x%02x", what, i, a[i], b[i]);
    }
}

void mr_test_contains(const char *text, const char *part, const char *what, const char *file,
                      int line)
{
    if (strstr(text, part) != NULL) return;
    mr_test_fail(file, line, "%s is\n---\n%s\n--- and does not contain '%s'", what, text, part);
}

void mr_test_status(enum mr_status actual, enum mr_status expected, const struct mr_error *err,
                    const char *what, const char *file, int line)
{
    if (actual == expected) return;
    mr_test_fail(file, line, "%s gave %s, expected %s%s%s", what, mr_status_name(actual),
                 mr_status_name(expected), err != NULL ? ": " : "", err != NULL ? err->text : "");
}

/* ---- broken assertions ---- */

/* Weak: a test that links the system port gets the one of the product. */
__attribute__((weak)) void mr_panic(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "%s:%d: broken assertion: %s\n", file, line, what);
    (void)fflush(stderr);
    abort();
}

bool mr_test_child_begin(void)
{
    (void)fflush(NULL);
    child_pid = fork();
    if (child_pid < 0) MR_FAIL("fork failed");
    if (child_pid != 0) return false;

    struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(3);
    return true;
}

void mr_test_child_end(void)
{
    _exit(0);
}

bool mr_test_child_panicked(void)
{
    int status = 0;

    if (waitpid(child_pid, &status, 0) != child_pid) return false;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* ---- memory ---- */

static void *raw_alloc(void *self, size_t size_bytes)
{
    void *memory;

    (void)self;
    memory = malloc(size_bytes);
    /* "Contents undefined" is made true: whoever relies on zeros sees it. */
    if (memory != NULL) memset(memory, 0xa5, size_bytes);
    return memory;
}

static void raw_free(void *self, void *memory, size_t size_bytes)
{
    (void)self;
    if (memory != NULL) memset(memory, 0x5a, size_bytes); /* also checks that the size was true */
    free(memory);
}

struct mr_heap *mr_test_heap(void)
{
    if (!heap_ready) {
        mr_heap_init(&heap, "test", SIZE_MAX, raw_alloc, raw_free, NULL);
        heap_ready = true;
    }
    return &heap;
}

bool mr_torture_next(struct mr_torture *torture)
{
    struct mr_heap *h = torture->heap;

    if (torture->round > 0) {
        bool refused = h->failed_count != torture->refused_before;

        h->fail_at = 0;
        if (h->used_bytes != torture->used_before) {
            mr_test_fail(torture->file, torture->line,
                         "allocation %llu refused: %lld bytes were not given back",
                         (unsigned long long)torture->round,
                         (long long)h->used_bytes - (long long)torture->used_before);
        }
        if (!refused) return false;
        if (torture->round >= 100000) {
            mr_test_fail(torture->file, torture->line, "no end after 100000 rounds");
        }
    }
    torture->round++;
    torture->used_before = h->used_bytes;
    torture->refused_before = h->failed_count;
    torture->first_count = h->alloc_count;
    h->fail_at = torture->first_count + torture->round;
    return true;
}

/* alloc_count counts refused calls too, so the order has been given once it is passed. */
bool mr_test_refused(struct mr_heap *h)
{
    return h->fail_at != 0 && h->alloc_count >= h->fail_at;
}

/* ---- files ---- */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

const char *mr_test_dir(void)
{
    const char *base = getenv("TMPDIR");

    if (dir_path[0] != '\0') return dir_path;
    (void)snprintf(dir_path, sizeof dir_path, "%s/mr_test.XXXXXX",
                   base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(dir_path) == NULL) {
        dir_path[0] = '\0';
        MR_FAIL("cannot make a temporary folder");
    }
    return dir_path;
}

static void remove_dir(void)
{
    if (dir_path[0] == '\0') return;
    (void)nftw(dir_path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    dir_path[0] = '\0';
}

/* ---- running ---- */

static void run_one(void **state)
{
    running = *state;
    running->run();
    if (heap_ready && heap.used_bytes != 0) {
        mr_test_fail(running->file, running->line,
                     "%llu bytes of the test heap were not given back",
                     (unsigned long long)heap.used_bytes);
    }
}

static int after_one(void **state)
{
    (void)state;
    heap_ready = false; /* a failed test leaves its blocks; the next one starts at zero */
    remove_dir();
    return 0;
}

/* One line per executable for whoever adds them up. */
static void write_tally(const char *program, uint32_t ran, uint32_t failed)
{
    const char *path = getenv("MR_TEST_TALLY");
    const char *name = strrchr(program, '/');
    FILE *file;

    if (path == NULL || path[0] == '\0') return;
    file = fopen(path, "a");
    if (file == NULL) return;
    (void)fprintf(file, "%s %u passed %u failed %u skipped%s%s\n", name ? name + 1 : program,
                  ran - failed - skip_count, failed, skip_count, skip_count ? ": " : "",
                  skip_names);
    (void)fclose(file);
}

int main(int argc, char **argv)
{
    struct CMUnitTest *tests = calloc((size_t)test_count + 1, sizeof *tests);
    size_t count = 0;
    int failed;

    if (tests == NULL) return 1;
    for (struct mr_test_case *t = first_test; t != NULL; t = t->next) {
        if (argc > 1 && strstr(t->name, argv[1]) == NULL) continue;
        tests[count].name = t->name;
        tests[count].test_func = run_one;
        tests[count].teardown_func = after_one;
        tests[count].initial_state = t;
        count++;
    }
    if (count == 0) {
        (void)fprintf(stderr, "no test %s\n", argc > 1 ? "has this in its name" : "is registered");
        return 1;
    }
    failed = _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
    write_tally(argv[0], (uint32_t)count, (uint32_t)failed);
    free(tests);
    return failed == 0 ? 0 : 1;
}
