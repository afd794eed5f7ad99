/* mr_test.h - a thin layer over cmocka: tests that register themselves, and what they expect.
 *
 *     #include "mr_test.h"
 *
 *     MR_TEST(ring, when_full_then_put_answers_false)
 *     {
 *         struct mr_heap *heap = mr_test_heap();
 *         ...
 *         MR_EXPECT_EQ_INT(mr_ring_room(&ring), 0);
 *     }
 *
 * `main` is in mr_test.c. Tests run in the order of their lines; a part of a name as argument runs
 * the tests that contain it. A failed expectation ends the test at once.
 *
 * Owns:    the test heap and the test folder, for one test each.
 * Thread:  expectations may only be used on the test's own thread: they leave by longjmp.
 * Fails:   that is its purpose.
 * Cost:    none that matters.
 */
#ifndef MR_TEST_H
#define MR_TEST_H

#include "base/heap.h"
#include "base/status.h"
#include <string.h>

struct mr_test_case {
    const char *name; /* group.name */
    const char *file;
    int line;
    void (*run)(void);
    struct mr_test_case *next;
};

void mr_test_add(struct mr_test_case *test);
void mr_test_fail(const char *file, int line, const char *format, ...) MR_PRINTF(3, 4)
    __attribute__((noreturn));
void mr_test_skip(const char *reason) __attribute__((noreturn));

#define MR_TEST(group, name)                                                                      \
    static void group##__##name(void);                                                            \
    __attribute__((constructor)) static void group##__##name##__add(void)                         \
    {                                                                                             \
        static struct mr_test_case test = {#group "." #name, __FILE__, __LINE__, group##__##name, \
                                           NULL};                                                 \
        mr_test_add(&test);                                                                       \
    }                                                                                             \
    static void group##__##name(void)

/* Ends the test as skipped: for what the machine cannot do (say, "needs root"), never for bugs. */
#define MR_SKIP(reason) mr_test_skip(reason)

/* ---- expectations ---- */

#define MR_EXPECT(condition)                                                            \
    do {                                                                                \
        if (!(condition)) mr_test_fail(__FILE__, __LINE__, "expected: %s", #condition); \
    } while (0)
#define MR_FAIL(...) mr_test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define MR_EXPECT_EQ_INT(actual, expected) \
    mr_test_eq_int((int64_t)(actual), (int64_t)(expected), #actual, __FILE__, __LINE__)
#define MR_EXPECT_EQ_UINT(actual, expected) \
    mr_test_eq_uint((uint64_t)(actual), (uint64_t)(expected), #actual, __FILE__, __LINE__)
/* Same bits, or both NaN: 0.0 and -0.0 differ. */
#define MR_EXPECT_EQ_DOUBLE(actual, expected) \
    mr_test_eq_double((actual), (expected), #actual, __FILE__, __LINE__)
#define MR_EXPECT_EQ_STR(actual, expected) \
    mr_test_eq_str((actual), (expected), #actual, __FILE__, __LINE__)
/* Bytes with a length, against a terminated text. */
#define MR_EXPECT_EQ_TEXT(data, size_bytes, expected) \
    mr_test_eq_text((data), (size_bytes), (expected), #data, __FILE__, __LINE__)
#define MR_EXPECT_EQ_BYTES(actual, expected, size_bytes) \
    mr_test_eq_bytes((actual), (expected), (size_bytes), #actual, __FILE__, __LINE__)
#define MR_EXPECT_CONTAINS(text, part) mr_test_contains((text), (part), #text, __FILE__, __LINE__)
/* `err` is a struct mr_error *, or NULL; its text is printed on failure. */
#define MR_EXPECT_OK(expression, err) \
    mr_test_status((expression), MR_OK, (err), #expression, __FILE__, __LINE__)
#define MR_EXPECT_STATUS(expression, status) \
    mr_test_status((expression), (status), NULL, #expression, __FILE__, __LINE__)
/* The statement must stop the process by a broken assertion. It runs in a child process. */
#define MR_EXPECT_PANIC(statement)                                                                \
    do {                                                                                          \
        if (mr_test_child_begin()) {                                                              \
            statement;                                                                            \
            mr_test_child_end();                                                                  \
        }                                                                                         \
        if (!mr_test_child_panicked()) MR_FAIL("expected a broken assertion in: %s", #statement); \
    } while (0)
/* Allocations of the test heap so far, as a budget. */
#define MR_EXPECT_ALLOCS_MAX(count)                                                           \
    do {                                                                                      \
        uint64_t mr_allocs = mr_test_heap()->alloc_count;                                     \
        if (mr_allocs > (uint64_t)(count))                                                    \
            MR_FAIL("%llu allocations, expected at most %llu", (unsigned long long)mr_allocs, \
                    (unsigned long long)(count));                                             \
    } while (0)

void mr_test_eq_int(int64_t actual, int64_t expected, const char *what, const char *file, int line);
void mr_test_eq_uint(uint64_t actual, uint64_t expected, const char *what, const char *file,
                     int line);
void mr_test_eq_double(double actual, double expected, const char *what, const char *file,
                       int line);
void mr_test_eq_str(const char *actual, const char *expected, const char *what, const char *file,
                    int line);
void mr_test_eq_text(const void *data, size_t size_bytes, const char *expected, const char *what,
                     const char *file, int line);
void mr_test_eq_bytes(const void *actual, const void *expected, size_t size_bytes, const char *what,
                      const char *file, int line);
void mr_test_contains(const char *text, const char *part, const char *what, const char *file,
                      int line);
void mr_test_status(enum mr_status actual, enum mr_status expected, const struct mr_error *err,
                    const char *what, const char *file, int line);
bool mr_test_child_begin(void);                         /* true in the child */
void mr_test_child_end(void) __attribute__((noreturn)); /* the child got here: no panic */
bool mr_test_child_panicked(void);

/* ---- memory ---- */

/* The heap of the running test, over malloc, without a limit. What is not given back when the test
 * returns fails the test. */
struct mr_heap *mr_test_heap(void);

/* Runs the block again and again; in the n-th run the n-th allocation of `heap` fails. Ends after
 * the first run without a refusal. After each run the heap must be where it was before (no leak).
 * Inside, mr_test_refused(heap) says whether an allocation of this run was refused:
 *
 *     MR_TORTURE(heap) {
 *         enum mr_status st = thing_create(heap, &thing, &err);
 *         MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
 *         if (st == MR_OK) thing_destroy(thing);
 *     }
 *
 * Do not leave the block by break or return. */
#define MR_TORTURE(heap)                                                          \
    for (struct mr_torture mr_torture = {(heap), __FILE__, __LINE__, 0, 0, 0, 0}; \
         mr_torture_next(&mr_torture);)

struct mr_torture {
    struct mr_heap *heap;
    const char *file;
    int line;
    uint64_t round;
    uint64_t first_count; /* alloc_count when the round began */
    uint64_t refused_before;
    size_t used_before;
};
bool mr_torture_next(struct mr_torture *torture);
bool mr_test_refused(struct mr_heap *heap); /* since the round began */

/* ---- files ---- */

/* A fresh empty folder for the running test, removed when it ends. */
const char *mr_test_dir(void);

#endif
