/* text_source_test.c - lines of text files against lines cut by hand. */
#include "base/prng.h"
#include "connect/source_test_helper.h"
#include "connect/text/text_internal.h"
#include "data/builder.h"
#include "memory_disk.h"

static struct mr_source make_source(const char *path, bool binary, uint64_t split_bytes)
{
    const struct mr_text_options options = {.path = path, .binary = binary};
    struct mr_source source;
    struct mr_error err;

    MR_EXPECT_OK(mr_text_source(mr_test_heap(), &options, &source, &err), &err);
    if (split_bytes > 0) mri_text_source_split_bytes(&source, split_bytes);
    return source;
}

/* What the result must be: lines without \r, and the numbers of those that are no UTF-8. */
static char *lines_of(const char *text, size_t size, bool binary, char **out_rejects)
{
    char *rows = NULL;
    size_t rows_size, rejects_size;
    FILE *out = open_memstream(&rows, &rows_size);
    FILE *rejects = open_memstream(out_rejects, &rejects_size);
    uint64_t line = 1;

    for (size_t at = 0; at < size; line++) {
        size_t end = at;
        bool bad = false;
        size_t shown;

        while (end < size && text[end] != '\n') bad |= (unsigned char)text[end++] == 0xff;
        shown = end - at - (end > at && text[end - 1] == '\r');
        if (bad && !binary) {
            (void)fprintf(rejects, "%llu:1: the line is not valid UTF-8 [%.*s]\n",
                          (unsigned long long)line, (int)MR_MIN(shown, (size_t)60), text + at);
        } else {
            (void)fwrite(text + at, 1, shown, out);
            (void)fputc('\n', out);
        }
        at = end + 1;
    }
    (void)fclose(out);
    (void)fclose(rejects);
    return rows;
}

static void expect_lines(struct memory_disk *disk, const char *path, bool binary, uint64_t split,
                         struct source_run run, const char *rows, const char *rejects)
{
    struct mr_source source = make_source(path, binary, split);
    struct source_result result = run_source(&source, mr_test_heap(), &disk->disk, run);

    MR_EXPECT_OK(result.status, &result.err);
    MR_EXPECT_EQ_STR(result.rows, rows);
    if (result.splits == 1) MR_EXPECT_EQ_STR(result.rejects, rejects);
    free_result(&result);
    end_source(&source);
}

MR_TEST(text_source, any_bytes_give_the_same_lines_for_any_cutting)
{
    static const char bytes[] = "abcdefghijklmno\n\n\r\r\xff";
    static char text[20000];
    struct mr_prng prng;

    mr_prng_init(&prng, 21, 1);
    for (uint32_t round = 0; round < 80; round++) {
        size_t size = mr_prng_below(&prng, round % 10 == 0 ? sizeof text : 200);
        struct memory_disk disk;

        for (size_t i = 0; i < size; i++) {
            text[i] = bytes[mr_prng_below(&prng, sizeof bytes - (round % 2 == 0 ? 2 : 1))];
        }
        memory_disk_init(&disk, mr_test_heap());
        memory_disk_put(&disk, "in", text, size);
        memory_disk_put(&disk, "stdin", text, size);
        for (uint32_t i = 0; i < 6; i++) {
            struct source_run run = {.row_limit = i % 3 == 1   ? 1
                                                  : i % 3 == 2 ? 3
                                                               : 0,
                                     .interleaved = i % 2 == 1,
                                     .streaming = i == 4};
            bool binary = i % 2 == 0;
            char *rejects;
            char *rows = lines_of(text, size, binary, &rejects);

            disk.read_bytes_max = i == 2 ? 1 : i == 3 ? 7 : 0;
            disk.late_every = i == 3 ? 2 : 0;
            disk.stream_pause = i == 5 ? 3 : 0;
            memory_disk_find(&disk, "stdin")->stream_at = 0;
            expect_lines(&disk, i == 5 ? "-" : "in", binary,
                         i == 0 ? 0 : 1 + mr_prng_below(&prng, 50), run, rows, rejects);
            free(rows);
            free(rejects);
        }
        memory_disk_fini(&disk);
    }
}

/* A hole in a log file is one line of any size: a reader that looked for its end beyond its own
 * split would read the file once per split. */
MR_TEST(text_source, a_line_over_many_splits_is_not_read_by_each_of_them)
{
    enum { SIZE = 1 << 20, STEP = 4096 };
    struct mr_source source = make_source("in", true, SIZE / 32);
    struct memory_disk disk;
    struct source_result result;
    char *text = malloc(SIZE);

    MR_EXPECT(text != NULL);
    memset(text, 0, SIZE);
    memcpy(text + SIZE - 4, "\nend", 4);
    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in", text, SIZE);
    disk.read_bytes_max = STEP;
    disk.late_every = 2;
    result = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){.row_limit = 0});
    MR_EXPECT_OK(result.status, &result.err);
    MR_EXPECT_EQ_STR(result.rows, "end\n");
    MR_EXPECT_CONTAINS(result.rejects, "the line is longer than 261888 bytes");
    /* Every split, a little behind its end, and once more to keep the record that is refused. */
    MR_EXPECT(disk.transfers < 3 * SIZE / STEP);
    free_result(&result);
    end_source(&source);
    memory_disk_fini(&disk);
    free(text);
}

MR_TEST(text_source, lines_above_the_limit_are_rejected_once_and_reading_goes_on)
{
    static const size_t sizes[] = {MR_TEXT_BYTES_MAX, MR_TEXT_BYTES_MAX + 1,
                                   MR_TEXT_BYTES_MAX + 200, (size_t)2 << 20};

    for (uint32_t i = 0; i < 2 * MR_COUNT(sizes); i++) {
        size_t size = sizes[i / 2];
        struct mr_source source = make_source("in", i % 2 == 0, i % 2 == 0 ? 0 : 100000);
        struct memory_disk disk;
        struct source_result result;
        char *text = malloc(size + 8);

        MR_EXPECT(text != NULL);
        memset(text, 'x', size + 2);
        text[1] = '\n';
        memcpy(text + size + 2, "\r\nend", 5);
        memory_disk_init(&disk, mr_test_heap());
        memory_disk_put(&disk, "in", text, size + 7);
        result = run_source(&source, mr_test_heap(), &disk.disk,
                            (struct source_run){.interleaved = i % 2 == 1});
        MR_EXPECT_OK(result.status, &result.err);
        MR_EXPECT_EQ_UINT(result.row_count, size <= MR_TEXT_BYTES_MAX ? 3 : 2);
        if (size > MR_TEXT_BYTES_MAX) {
            MR_EXPECT_EQ_STR(result.rows, "x\nend\n");
            MR_EXPECT_CONTAINS(result.rejects, ":1: the line is longer than 261888 bytes [xxx");
        }
        free_result(&result);
        end_source(&source);
        memory_disk_fini(&disk);
        free(text);
    }
}

/* For whoever looks for words: a line without end is cut between them, never in one. */
MR_TEST(text_source, long_lines_in_pieces_keep_every_word_whole)
{
    const size_t size = (size_t)3 << 20;
    char *text = malloc(size + 1);
    struct mr_prng prng;
    size_t at = 0;

    mr_prng_init(&prng, 9, 1);
    while (at < size) { /* words up to 200 kB between single spaces, a newline now and then */
        uint64_t draw = mr_prng_below(&prng, 1000);
        size_t word = draw < 2 ? 200000 : 1 + (size_t)draw % 12;

        for (size_t i = 0; i < word && at < size; i++, at++) text[at] = (char)('a' + (i + word) % 26);
        if (at < size) text[at++] = mr_prng_below(&prng, 60000) == 0 ? '\n' : ' ';
    }
    text[size - 1] = 'z';
    for (uint32_t i = 0; i < 3; i++) {
        struct mr_text_options options = {.path = "in", .binary = true, .pieces = true};
        struct mr_source source;
        struct memory_disk disk;
        struct source_result result;
        struct mr_error err;

        MR_EXPECT_OK(mr_text_source(mr_test_heap(), &options, &source, &err), &err);
        if (i == 1) mri_text_source_split_bytes(&source, 100000);
        memory_disk_init(&disk, mr_test_heap());
        memory_disk_put(&disk, "in", text, size);
        result = run_source(&source, mr_test_heap(), &disk.disk,
                            (struct source_run){.interleaved = i == 1, .row_limit = i == 2 ? 1 : 0});
        MR_EXPECT_OK(result.status, &result.err);
        MR_EXPECT_EQ_STR(result.rejects, "");
        /* Rows come with a newline each, where the text has white space. */
        MR_EXPECT_EQ_UINT(strlen(result.rows), size + 1);
        for (size_t c = 0; c < size; c++) {
            bool white = text[c] == ' ' || text[c] == '\n';
            if (result.rows[c] != text[c] && !(white && result.rows[c] == '\n')) {
                MR_FAIL("byte %zu differs", c);
            }
        }
        free_result(&result);
        end_source(&source);
        memory_disk_fini(&disk);
    }
    free(text);
}

MR_TEST(text_source, many_chunks_with_back_pressure_lose_nothing)
{
    static const size_t quotas[] = {32 * 1024, 600 * 1024, (size_t)2 << 20};
    size_t size = (size_t)3 << 20;
    char *text = malloc(size);
    char *rows, *rejects;
    struct memory_disk disk;
    struct mr_prng prng;

    MR_EXPECT(text != NULL);
    mr_prng_init(&prng, 22, 1);
    for (size_t i = 0; i < size; i++) text[i] = mr_prng_below(&prng, 40) == 0 ? '\n' : 'a';
    rows = lines_of(text, size, true, &rejects);
    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in", text, size);
    for (size_t i = 0; i < MR_COUNT(quotas); i++) {
        expect_lines(&disk, "in", true, 0,
                     (struct source_run){.quota_bytes = quotas[i], .keep_batches = 3}, rows, "");
    }
    memory_disk_fini(&disk);
    free(rows);
    free(rejects);
    free(text);
}

MR_TEST(text_source, any_line_is_found_again)
{
    static const char text[] = "one\ntwo\r\n\nfour\nfive";
    static const char *const raws[] = {"one", "two", "", "four", "five"};
    static const uint64_t offsets[] = {0, 4, 9, 10, 15};
    struct mr_source source = make_source("in", true, 6);
    struct memory_disk disk;
    struct mr_arena arena;
    struct mr_split_list list = {.arena = &arena};
    struct mr_plan_context plan = {mr_test_heap(), &disk.disk, false};
    struct mr_error err;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "in", text, sizeof text - 1);
    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT_OK(source.ops->plan(source.spec, &plan, &list, &err), &err);
    MR_EXPECT_EQ_UINT(list.count, 4);
    for (uint32_t from = 5; from-- > 0;) {
        for (uint32_t to = from; to < 5; to++) {
            struct mr_reject found = {0};

            MR_EXPECT_OK(source.ops->locate(source.spec, &plan, &list.splits[offsets[from] / 6],
                                            offsets[from], to - from, &arena, &found, &err),
                         &err);
            MR_EXPECT_EQ_UINT(found.line, to + 1);
            MR_EXPECT_EQ_TEXT(found.raw.data, found.raw.size_bytes, raws[to]);
        }
    }
    mr_arena_fini(&arena);
    end_source(&source);
    memory_disk_fini(&disk);
}

MR_TEST(text_source, several_files_are_read_in_the_order_of_their_names)
{
    struct mr_source source = make_source("logs/*.txt", true, 0);
    struct memory_disk disk;
    struct source_result result;

    memory_disk_init(&disk, mr_test_heap());
    memory_disk_put(&disk, "logs/b.txt", "b", 1);
    memory_disk_put(&disk, "logs/a.txt", "a1\na2\n", 6);
    memory_disk_put(&disk, "logs/c.csv", "no", 2);
    memory_disk_put(&disk, "logs/.d.txt", "no", 2);
    result = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){0});
    MR_EXPECT_EQ_STR(result.rows, "a1\na2\nb\n");
    free_result(&result);
    end_source(&source);
    memory_disk_fini(&disk);
}

MR_TEST(text_source, when_any_allocation_fails_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();
    struct memory_disk disk;

    memory_disk_init(&disk, heap);
    memory_disk_put(&disk, "in", "one\na line that is long\n\xff\nlast", 30);
    MR_TORTURE(heap) {
        const struct mr_text_options options = {.path = "in"};
        struct mr_source source;
        struct mr_error err;
        enum mr_status st = mr_text_source(heap, &options, &source, &err);

        if (st == MR_OK) {
            struct source_result result;

            result = run_source(&source, heap, &disk.disk, (struct source_run){0});
            st = result.status;
            if (st == MR_OK) MR_EXPECT_EQ_STR(result.rows, "one\na line that is long\nlast\n");
            free_result(&result);
            end_source(&source);
        }
        MR_EXPECT(st == MR_OK || (st == MR_E_NOMEM && mr_test_refused(heap)));
    }
    memory_disk_fini(&disk);
}
