/* resume_test.c - readers that are closed anywhere and opened again where they were give what one
 * reader gives that is never closed: rows, row numbers, rejects and their lines. */
#include "base/crc.h"
#include "base/prng.h"
#include "connect/csv/csv_internal.h"
#include "connect/source_test_helper.h"
#include "connect/text/text_internal.h"
#include "memory_disk.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

enum { TEXT_ROOM = 1 << 20, POSITION_ROOM = 4096 };

/* ---- what is read ---- */

enum shape { TEXT, TEXT_PIECES, CSV, GENERATOR, SHAPES };

struct input {
    enum shape shape;
    bool streaming;
    uint64_t split_bytes;
    uint32_t row_limit;
    size_t quota_bytes;
    struct memory_disk *disk;
    const char *path;
};

static struct mr_source make_source(const struct input *input)
{
    static const struct mr_field fields[] = {{.name = "n", .type = MR_INT64},
                                             {.name = "s", .type = MR_UTF8}};
    const struct mr_text_options text = {.path = input->path,
                                         .pieces = input->shape == TEXT_PIECES};
    const struct mr_csv_options csv = {.path = input->path, .fields = fields, .field_count = 2};
    const struct mr_generator_options rows = {
        .rows = 500, .step_us = 10, .keys = 7, .seed = input->split_bytes};
    struct mr_source source;
    struct mr_error err;

    if (input->shape == GENERATOR) {
        MR_EXPECT_OK(mr_generator_source(mr_test_heap(), &rows, &source, &err), &err);
    } else if (input->shape == CSV) {
        MR_EXPECT_OK(mr_csv_source(mr_test_heap(), &csv, &source, &err), &err);
        if (input->split_bytes > 0) mri_csv_source_split_bytes(&source, input->split_bytes);
    } else {
        MR_EXPECT_OK(mr_text_source(mr_test_heap(), &text, &source, &err), &err);
        if (input->split_bytes > 0) mri_text_source_split_bytes(&source, input->split_bytes);
    }
    return source;
}

/* One attempt: a source planned anew. */
struct attempt {
    struct mr_source source;
    struct mr_arena arena;
    struct mr_split_list list;
    struct mr_pool *pool;
    struct mr_quota quota;
    void *reader;
    struct mr_error err;
};

static enum mr_status begin_attempt(struct attempt *attempt, const struct input *input,
                                    uint32_t split, struct source_part *part,
                                    struct mr_bytes resume)
{
    const struct mr_plan_context plan = {mr_test_heap(), &input->disk->disk, input->streaming};
    const struct mr_reader_context context = {.heap = mr_test_heap(),
                                              .disk = &input->disk->disk,
                                              .reject = helper_reject,
                                              .reject_self = part,
                                              .positions = true,
                                              .resume = resume};

    memset(attempt, 0, sizeof *attempt);
    attempt->source = make_source(input);
    mr_arena_init(&attempt->arena, mr_test_heap());
    attempt->list.arena = &attempt->arena;
    MR_EXPECT_OK(
        attempt->source.ops->plan(attempt->source.spec, &plan, &attempt->list, &attempt->err),
        &attempt->err);
    MR_EXPECT_OK(mr_pool_create(mr_test_heap(), (size_t)1 << 30, &attempt->pool, &attempt->err),
                 &attempt->err);
    mr_quota_init(&attempt->quota, attempt->pool, "test", input->quota_bytes);
    MR_EXPECT(split < attempt->list.count);
    return attempt->source.ops->open(attempt->source.spec, &attempt->list.splits[split], &context,
                                     &attempt->reader, &attempt->err);
}

static void end_attempt(struct attempt *attempt)
{
    if (attempt->reader != NULL) attempt->source.ops->close(attempt->reader);
    mr_pool_destroy(attempt->pool);
    mr_arena_fini(&attempt->arena);
    end_source(&attempt->source);
}

/* The row's text is found again from what the batch says about its origin. */
static void expect_located(struct attempt *attempt, const struct input *input,
                           const struct mr_split *split, const struct mr_batch *batch)
{
    const struct mr_plan_context plan = {mr_test_heap(), &input->disk->disk, input->streaming};
    uint64_t row = batch->origin_rows != NULL ? batch->origin_rows[0] : 0;
    struct mr_reject found = {.line = 0};
    struct mr_bytes text = mr_column_bytes(&batch->columns[0], 0);
    struct mr_arena arena;

    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT_OK(attempt->source.ops->locate(attempt->source.spec, &plan, split,
                                             batch->origin.offset_bytes, row, &arena, &found,
                                             &attempt->err),
                 &attempt->err);
    MR_EXPECT_EQ_UINT(found.raw.size_bytes, text.size_bytes);
    MR_EXPECT_EQ_BYTES(found.raw.data, text.data, text.size_bytes);
    mr_arena_fini(&arena);
}

static void take(struct source_part *part, uint32_t split, const struct mr_batch *batch)
{
    for (uint32_t row = 0; row < batch->row_count; row++) {
        (void)fprintf(part->rows_file, "%llu@",
                      (unsigned long long)mr_batch_source_row(batch, row));
        for (uint32_t c = 0; c < batch->column_count; c++) {
            if (c > 0) (void)fputc('|', part->rows_file);
            helper_print(part->rows_file, &batch->columns[c], row);
        }
        (void)fputc('\n', part->rows_file);
    }
    MR_EXPECT_EQ_UINT(batch->origin.split, split);
}

/* Up to `reads` reads; *reads is what is left of them. True: the split is over. */
static bool read_on(struct attempt *attempt, const struct input *input, uint32_t split,
                    struct source_part *part, uint64_t *reads)
{
    struct mr_batch *kept = NULL;
    enum mr_source_flow flow = MR_SOURCE_MORE;

    for (; *reads > 0 && flow != MR_SOURCE_DONE; --*reads) {
        struct mr_batch *batch = NULL;

        MR_EXPECT_OK(attempt->source.ops->read(attempt->reader, &attempt->quota, input->row_limit,
                                               &flow, &batch, &attempt->err),
                     &attempt->err);
        mr_batch_release(kept); /* one batch back holds on to its block: chunks have to move */
        kept = batch;
        if (batch == NULL) continue;
        take(part, split, batch);
        if (input->shape == TEXT) {
            expect_located(attempt, input, &attempt->list.splits[split], batch);
        }
    }
    mr_batch_release(kept);
    return flow == MR_SOURCE_DONE;
}

static size_t ask_position(struct attempt *attempt, char *out)
{
    struct mr_buffer buffer;
    size_t size;

    mr_buffer_init(&buffer, mr_test_heap());
    MR_EXPECT(mr_buffer_put(&buffer, "before", 6)); /* it is appended */
    MR_EXPECT_OK(attempt->source.ops->position(attempt->reader, &buffer, &attempt->err),
                 &attempt->err);
    MR_EXPECT_EQ_BYTES(buffer.data, "before", 6);
    size = buffer.size_bytes - 6;
    MR_EXPECT(size > 0 && size <= POSITION_ROOM);
    memcpy(out, buffer.data + 6, size);
    mr_buffer_fini(&buffer);
    return size;
}

static void begin_part(struct source_part *part)
{
    memset(part, 0, sizeof *part);
    part->rows_file = open_memstream(&part->rows, &part->rows_size);
    part->rejects_file = open_memstream(&part->rejects, &part->rejects_size);
}

static void end_part(struct source_part *part)
{
    (void)fclose(part->rows_file);
    (void)fclose(part->rejects_file);
}

static void free_part(struct source_part *part)
{
    free(part->rows);
    free(part->rejects);
}

/* Reads a split in attempts of `first` and then `later` reads (0: no cuts after the first). Answers
 * how many reads it took. */
static uint64_t read_in_attempts(const struct input *input, uint32_t split, uint64_t first,
                                 struct mr_prng *prng, struct source_part *part)
{
    char position[POSITION_ROOM];
    struct mr_bytes resume = {NULL, 0};
    uint64_t reads = first, total = 0, attempts = 0;
    bool done = false;

    while (!done) {
        struct attempt attempt;
        uint64_t left = reads;

        MR_EXPECT_OK(begin_attempt(&attempt, input, split, part, resume), &attempt.err);
        done = read_on(&attempt, input, split, part, &left);
        total += reads - left;
        resume = (struct mr_bytes){position, ask_position(&attempt, position)};
        end_attempt(&attempt);
        /* Longer and longer: what has to be read again before going on gets longer too. */
        attempts++;
        reads = prng != NULL ? mr_prng_below(prng, 1 + mr_prng_below(prng, 30 + 8 * attempts))
                             : UINT64_MAX;
    }
    /* Also the end is a position. */
    struct attempt attempt;
    uint64_t left = UINT64_MAX;

    MR_EXPECT_OK(begin_attempt(&attempt, input, split, part, resume), &attempt.err);
    MR_EXPECT(read_on(&attempt, input, split, part, &left));
    end_attempt(&attempt);
    return total;
}

static uint32_t count_splits(const struct input *input)
{
    struct source_part part;
    struct attempt attempt;
    uint32_t count;

    MR_EXPECT_OK(begin_attempt(&attempt, input, 0, &part, (struct mr_bytes){NULL, 0}),
                 &attempt.err);
    count = attempt.list.count;
    end_attempt(&attempt);
    return count;
}

/* Every cut once if there are few, then chains of random cuts. */
static void expect_same_for_all_cuts(const struct input *input, struct mr_prng *prng)
{
    uint32_t splits = count_splits(input);

    for (uint32_t split = 0; split < splits; split++) {
        struct source_part whole;
        uint64_t reads, step;

        begin_part(&whole);
        reads = read_in_attempts(input, split, UINT64_MAX, NULL, &whole);
        end_part(&whole);
        step = 1 + reads / 150;
        for (uint64_t k = 0; k < reads + 4; k += step) {
            struct source_part cut;

            begin_part(&cut);
            (void)read_in_attempts(input, split, k, k % 3 == 2 ? prng : NULL, &cut);
            end_part(&cut);
            MR_EXPECT_EQ_STR(cut.rows, whole.rows);
            MR_EXPECT_EQ_STR(cut.rejects, whole.rejects);
            free_part(&cut);
        }
        free_part(&whole);
    }
}

/* ---- making inputs ---- */

static char text[TEXT_ROOM];
static char packed[TEXT_ROOM];

static void put_char(size_t *size, char c)
{
    MR_EXPECT(*size < TEXT_ROOM);
    text[(*size)++] = c;
}

static void put_text(size_t *size, const char *part)
{
    while (*part != '\0') put_char(size, *part++);
}

static void put_long(size_t *size, uint32_t bytes, char space)
{
    for (uint32_t i = 0; i < bytes; i++) put_char(size, i % 97 == 96 ? space : 'l');
}

static size_t make_lines(struct mr_prng *prng, uint32_t lines, bool with_long)
{
    static const char *const parts[] = {"a",        "bc",   " ",  "\t",
                                        "\xc3\xa9", "\xff", "\r", "0123456789abcdef"};
    size_t size = 0;

    for (uint32_t i = 0; i < lines; i++) {
        uint64_t count = mr_prng_below(prng, 6);

        while (count-- > 0) put_text(&size, parts[mr_prng_below(prng, MR_COUNT(parts))]);
        if (with_long && (i == lines / 3 || i == lines / 2)) {
            put_long(&size, 262000 + (uint32_t)mr_prng_below(prng, 40000),
                     i == lines / 3 ? ' ' : 'l');
        }
        if (i + 1 < lines || mr_prng_below(prng, 2) == 0)
            put_text(&size, i % 3 == 0 ? "\r\n" : "\n");
    }
    return size;
}

static size_t make_records(struct mr_prng *prng, uint32_t records, bool with_long)
{
    static const char *const good[] = {"1,a\n",
                                       "-7,\"x,y\"\r\n",
                                       "3,\"line\nbreak \"\"q\"\"\"\n",
                                       ",\"\"\n",
                                       "12345678901,\n",
                                       "5,a text that is longer than twelve bytes\n",
                                       "6,\"a longer text,\r\nin two lines\"\n"};
    static const char *const bad[] = {"x,a\n",   "1\n",      "1,2,3\n",    "\n",
                                      "\r\n",    "1,a\"b\n", "2,\"q\"z\n", ",,,,,,,,,,,,,,,,\n",
                                      "9,\xff\n"};
    size_t size = 0;

    if (mr_prng_below(prng, 2) == 0) put_text(&size, "\xef\xbb\xbf");
    put_text(&size, mr_prng_below(prng, 2) == 0 ? "n,s\n" : "s2,n,s\r\n");
    if (memchr(text, '2', size) != NULL) size -= 8, put_text(&size, "\"n\",s\n");
    for (uint32_t i = 0; i < records; i++) {
        bool is_bad = mr_prng_below(prng, 4) == 0;

        put_text(&size, is_bad ? bad[mr_prng_below(prng, MR_COUNT(bad))]
                               : good[mr_prng_below(prng, MR_COUNT(good))]);
        if (with_long && i == records / 2) { /* too long, quoted, with line breaks in it */
            put_text(&size, "8,\"");
            put_long(&size, 262000 + (uint32_t)mr_prng_below(prng, 300000), '\n');
            put_text(&size, "\"\n");
        }
    }
    if (mr_prng_below(prng, 3) == 0)
        put_text(&size, "77,last");
    else if (mr_prng_below(prng, 3) == 0)
        put_text(&size, "78,\"never closed\n1,2\n");
    return size;
}

static void put_packed(struct memory_disk *disk, const char *name, size_t size, uint32_t how)
{
    if (how == 0) {
        memory_disk_put(disk, name, text, size);
    } else if (how == 1) {
        size_t got = ZSTD_compress(packed, sizeof packed, text, size, 1);

        MR_EXPECT(!ZSTD_isError(got));
        memory_disk_put(disk, name, packed, got);
    } else {
        static struct isal_zstream stream;

        isal_deflate_init(&stream);
        stream.gzip_flag = IGZIP_GZIP;
        stream.end_of_stream = 1;
        stream.next_in = (uint8_t *)text;
        stream.avail_in = (uint32_t)size;
        stream.next_out = (uint8_t *)packed;
        stream.avail_out = sizeof packed;
        MR_EXPECT_EQ_INT(isal_deflate(&stream), COMP_OK);
        memory_disk_put(disk, name, packed, stream.total_out);
    }
}

static void run_round(struct mr_prng *prng, enum shape shape, uint32_t round, bool with_long)
{
    uint32_t how = round % 4 == 2 ? 1 : round % 4 == 3 ? 2 : 0;
    uint32_t lines = 1 + (uint32_t)mr_prng_below(prng, 90);
    struct memory_disk disk;
    struct input input = {
        .shape = shape,
        .streaming = round % 2 == 0,
        .row_limit = round % 5 == 0 ? 4096 : 1 + (uint32_t)mr_prng_below(prng, 9),
        .quota_bytes = with_long ? (size_t)8 << 20 : (size_t)64 << 10,
        .disk = &disk,
        .path = "in",
    };
    size_t size =
        shape == CSV ? make_records(prng, lines, with_long) : make_lines(prng, lines, with_long);

    input.split_bytes = with_long ? 100000 : 16 + mr_prng_below(prng, 600);
    memory_disk_init(&disk, mr_test_heap());
    put_packed(&disk, "in", size, how);
    disk.read_bytes_max = with_long ? 60000 : round % 3 == 0 ? 0 : 1 + mr_prng_below(prng, 80);
    disk.late_every = round % 3;
    expect_same_for_all_cuts(&input, prng);
    memory_disk_fini(&disk);
}

MR_TEST(resume, lines_are_neither_lost_nor_repeated_wherever_reading_is_cut)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 41, 1);
    for (uint32_t round = 0; round < 40; round++) {
        run_round(&prng, round % 3 == 2 ? TEXT_PIECES : TEXT, round, false);
    }
}

MR_TEST(resume, lines_beyond_the_longest_are_neither_lost_nor_repeated)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 42, 1);
    for (uint32_t round = 0; round < 4; round++) {
        run_round(&prng, round % 2 == 0 ? TEXT : TEXT_PIECES, round, true);
    }
}

MR_TEST(resume, records_are_neither_lost_nor_repeated_wherever_reading_is_cut)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 43, 1);
    for (uint32_t round = 0; round < 40; round++) run_round(&prng, CSV, round, false);
}

MR_TEST(resume, records_beyond_the_longest_are_neither_lost_nor_repeated)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 44, 1);
    for (uint32_t round = 0; round < 4; round++) run_round(&prng, CSV, round, true);
}

MR_TEST(resume, made_up_rows_go_on_where_they_were)
{
    struct memory_disk disk;
    struct input input = {
        .shape = GENERATOR, .row_limit = 7, .quota_bytes = 1 << 20, .disk = &disk};
    struct mr_prng prng;

    mr_prng_init(&prng, 45, 1);
    memory_disk_init(&disk, mr_test_heap());
    expect_same_for_all_cuts(&input, &prng);
    memory_disk_fini(&disk);
}

/* ---- files that are not what they were ---- */

/* Reads `reads` times from a file of 400 lines and writes down the position. */
static size_t stop_after(const struct input *input, uint64_t reads, char *position)
{
    struct source_part part;
    struct attempt attempt;
    size_t size;

    begin_part(&part);
    MR_EXPECT_OK(begin_attempt(&attempt, input, 0, &part, (struct mr_bytes){NULL, 0}),
                 &attempt.err);
    MR_EXPECT(!read_on(&attempt, input, 0, &part, &reads));
    size = ask_position(&attempt, position);
    end_attempt(&attempt);
    end_part(&part);
    free_part(&part);
    return size;
}

/* Opens with a position and reads to the end: the first status that is not OK. `rows`: NULL, or the
 * rows as text. */
static enum mr_status go_on(const struct input *input, struct mr_bytes position, char **out_rows,
                            struct mr_error *err)
{
    struct source_part part;
    struct attempt attempt;
    enum mr_source_flow flow = MR_SOURCE_MORE;
    enum mr_status st;

    begin_part(&part);
    st = begin_attempt(&attempt, input, 0, &part, position);
    while (st == MR_OK && flow != MR_SOURCE_DONE) {
        struct mr_batch *batch = NULL;

        st = attempt.source.ops->read(attempt.reader, &attempt.quota, 50, &flow, &batch,
                                      &attempt.err);
        if (batch != NULL) take(&part, 0, batch);
        mr_batch_release(batch);
    }
    *err = attempt.err;
    end_attempt(&attempt);
    end_part(&part);
    if (out_rows != NULL)
        *out_rows = part.rows;
    else
        free(part.rows);
    free(part.rejects);
    return st;
}

static size_t make_numbered(char replaced)
{
    size_t size = 0;

    put_text(&size, "n,s\n");
    for (uint32_t i = 0; i < 400; i++) {
        char line[32];

        (void)snprintf(line, sizeof line, "%u,%c\n", 1000 + i, i == 20 ? replaced : 'a');
        put_text(&size, line);
    }
    return size;
}

struct changed_case {
    enum shape shape;
    uint32_t how; /* 0 plain, 1 zstd, 2 gzip */
};

static void with_stopped(const struct changed_case *what,
                         void (*then)(const struct input *input, struct mr_bytes position))
{
    struct memory_disk disk;
    struct input input = {.shape = what->shape,
                          .streaming = true,
                          .row_limit = 50,
                          .quota_bytes = 1 << 20,
                          .disk = &disk,
                          .path = "in"};
    char position[POSITION_ROOM];
    size_t size;

    memory_disk_init(&disk, mr_test_heap());
    put_packed(&disk, "in", make_numbered('a'), what->how);
    memory_disk_find(&disk, "in")->modified_us = 77;
    disk.read_bytes_max = 700;
    size = stop_after(&input, 5, position);
    then(&input, (struct mr_bytes){position, size});
    memory_disk_fini(&disk);
}

static void for_all_files(void (*then)(const struct input *input, struct mr_bytes position))
{
    for (uint32_t i = 0; i < 6; i++) {
        const struct changed_case what = {i % 2 == 0 ? TEXT : CSV, i / 2};

        with_stopped(&what, then);
    }
}

static void expect_refused(const struct input *input, struct mr_bytes position, const char *words)
{
    struct mr_error err;

    MR_EXPECT_STATUS(go_on(input, position, NULL, &err), MR_E_CHANGED);
    MR_EXPECT_CONTAINS(err.text, "in ");
    MR_EXPECT_CONTAINS(err.text, words);
    MR_EXPECT_CONTAINS(err.text, "--fresh");
}

static void grow(const struct input *input, struct mr_bytes position)
{
    static const char zstd_frame[8] = {0x50, 0x2a, 0x4d, 0x18}; /* to be skipped, of no bytes */
    struct memory_file *file = memory_disk_find(input->disk, "in");
    size_t size = file->size_bytes;
    bool zstd = (unsigned char)file->data[0] == 0x28;
    bool gzip = (unsigned char)file->data[0] == 0x1f;

    memcpy(packed, file->data, size);
    if (zstd)
        memcpy(packed + size, zstd_frame, sizeof zstd_frame);
    else
        packed[size] = gzip ? '\0' : '\n';
    memory_disk_put(input->disk, "in", packed, size + (zstd ? sizeof zstd_frame : 1));
    expect_refused(input, position, " bytes when the job read it and has ");
}

MR_TEST(resume, when_a_file_has_another_size_then_it_is_refused_by_name)
{
    for_all_files(grow);
}

static void replace(const struct input *input, struct mr_bytes position)
{
    struct memory_file *file = memory_disk_find(input->disk, "in");

    file->identity = 999;
    file->modified_us = 88;
    expect_refused(input, position, "was replaced by another file");
}

MR_TEST(resume, when_a_file_was_replaced_then_it_is_refused_by_name)
{
    for_all_files(replace);
}

/* A byte of row 20, which was read. Compressed ones give a file of the same size by luck only: the
 * plain way is enough, as the sum is over what was unpacked. */
static void change_what_was_read(const struct input *input, struct mr_bytes position)
{
    struct memory_file *file = memory_disk_find(input->disk, "in");
    size_t size = make_numbered('b');

    if (file->size_bytes != size) return;
    memory_disk_put(input->disk, "in", text, size);
    file->modified_us = 88;
    expect_refused(input, position, "was changed in the part that was read");
    file->modified_us = 77; /* time set back, another disk: found as well */
    file->identity = 999;
    expect_refused(input, position, "was changed in the part that was read");
}

MR_TEST(resume, when_bytes_that_were_read_changed_then_the_file_is_refused_by_name)
{
    for_all_files(change_what_was_read);
}

static void touch(const struct input *input, struct mr_bytes position)
{
    struct memory_file *file = memory_disk_find(input->disk, "in");
    uint64_t identity = file->identity;
    struct mr_error err;
    char *before, *touched, *moved;

    MR_EXPECT_OK(go_on(input, position, &before, &err), &err);
    file->modified_us = 88;
    MR_EXPECT_OK(go_on(input, position, &touched, &err), &err);
    file->modified_us = 77;
    file->identity = identity + 1;
    MR_EXPECT_OK(go_on(input, position, &moved, &err), &err);
    MR_EXPECT(strlen(before) > 100);
    MR_EXPECT_EQ_STR(touched, before);
    MR_EXPECT_EQ_STR(moved, before);
    free(before);
    free(touched);
    free(moved);
}

MR_TEST(resume, when_a_file_was_only_touched_or_its_disk_has_another_number_then_it_goes_on)
{
    for_all_files(touch);
}

MR_TEST(resume, when_compressed_bytes_that_were_read_changed_then_the_file_is_refused)
{
    const struct input made = {
        .shape = TEXT, .streaming = true, .row_limit = 50, .quota_bytes = 1 << 20, .path = "in"};
    struct input input = made;
    struct memory_disk disk;
    struct mr_error err;
    char position[POSITION_ROOM];
    size_t size, a, b;

    memory_disk_init(&disk, mr_test_heap());
    input.disk = &disk;
    size = make_numbered('b');
    a = ZSTD_compress(packed, sizeof packed, text, size, 1);
    memory_disk_put(&disk, "in", packed, a);
    disk.read_bytes_max = 100;
    size = stop_after(&input, 5, position);
    for (char other = 'c'; other <= 'z'; other++) {
        size_t bytes = make_numbered(other);

        b = ZSTD_compress(packed, sizeof packed, text, bytes, 1);
        if (b != a) continue;
        memory_disk_put(&disk, "in", packed, b); /* identity and time stay: the sum finds it */
        MR_EXPECT_STATUS(go_on(&input, (struct mr_bytes){position, size}, NULL, &err),
                         MR_E_CHANGED);
        memory_disk_fini(&disk);
        return;
    }
    MR_FAIL("no text gives a file of the same size");
}

/* While bytes are read again to be compared nothing is known of the new file yet. */
MR_TEST(resume, when_cut_while_comparing_then_the_next_attempt_compares_again)
{
    struct memory_disk disk;
    struct input input = {.shape = TEXT,
                          .streaming = true,
                          .row_limit = 50,
                          .quota_bytes = 1 << 20,
                          .disk = &disk,
                          .path = "in"};
    struct source_part part;
    struct attempt attempt;
    char position[POSITION_ROOM], again[POSITION_ROOM];
    uint64_t reads = 1;
    size_t size;

    memory_disk_init(&disk, mr_test_heap());
    put_packed(&disk, "in", make_numbered('a'), 0);
    size = stop_after(&input, 5, position);
    make_numbered('b');
    put_packed(&disk, "in", make_numbered('b'), 0);
    memory_disk_find(&disk, "in")->modified_us = 5;
    disk.late_every = 1;
    begin_part(&part);
    MR_EXPECT_OK(begin_attempt(&attempt, &input, 0, &part, (struct mr_bytes){position, size}),
                 &attempt.err);
    MR_EXPECT(!read_on(&attempt, &input, 0, &part, &reads));
    MR_EXPECT_EQ_UINT(ask_position(&attempt, again), size);
    MR_EXPECT_EQ_BYTES(again, position, size);
    end_attempt(&attempt);
    end_part(&part);
    free_part(&part);
    expect_refused(&input, (struct mr_bytes){again, size}, "was changed in the part that was read");
    memory_disk_fini(&disk);
}

MR_TEST(resume, a_stream_says_that_it_cannot_be_read_again)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct memory_disk disk;
        struct input input = {.shape = i == 0 ? TEXT : CSV,
                              .streaming = true,
                              .row_limit = 5,
                              .quota_bytes = 1 << 20,
                              .disk = &disk,
                              .path = "-"};
        struct source_part part;
        struct attempt attempt;
        struct mr_buffer buffer;

        memory_disk_init(&disk, mr_test_heap());
        memory_disk_put(&disk, "stdin", "n,s\n1,2\n", 8);
        MR_EXPECT_OK(begin_attempt(&attempt, &input, 0, &part, (struct mr_bytes){NULL, 0}),
                     &attempt.err);
        MR_EXPECT(attempt.list.splits[0].once);
        mr_buffer_init(&buffer, mr_test_heap());
        MR_EXPECT_STATUS(attempt.source.ops->position(attempt.reader, &buffer, &attempt.err),
                         MR_E_UNSUPPORTED);
        MR_EXPECT_CONTAINS(attempt.err.text,
                           "cannot be read again after a failure; use --guarantee at-most-once");
        mr_buffer_fini(&buffer);
        end_attempt(&attempt);
        MR_EXPECT_STATUS(begin_attempt(&attempt, &input, 0, &part, (struct mr_bytes){"x", 1}),
                         MR_E_UNSUPPORTED);
        end_attempt(&attempt);
        memory_disk_fini(&disk);
    }
}

/* ---- damaged positions ---- */

static bool is_refusal(enum mr_status st)
{
    return st == MR_E_CORRUPT || st == MR_E_UNSUPPORTED;
}

static void damage(const struct input *input, struct mr_bytes position)
{
    char bytes[POSITION_ROOM + 1];
    struct mr_error err;

    for (size_t i = 0; i < position.size_bytes * 8; i++) {
        memcpy(bytes, position.data, position.size_bytes);
        bytes[i / 8] = (char)(bytes[i / 8] ^ 1 << i % 8);
        MR_EXPECT(
            is_refusal(go_on(input, (struct mr_bytes){bytes, position.size_bytes}, NULL, &err)));
    }
    memcpy(bytes, position.data, position.size_bytes);
    bytes[position.size_bytes] = 0;
    for (size_t size = 0; size <= position.size_bytes + 1; size++) {
        if (size == position.size_bytes) continue;
        MR_EXPECT_STATUS(go_on(input, (struct mr_bytes){bytes, size}, NULL, &err), MR_E_CORRUPT);
    }
}

MR_TEST(resume, a_position_with_any_bit_or_byte_wrong_is_refused)
{
    const struct changed_case generator = {GENERATOR, 0};

    for_all_files(damage);
    with_stopped(&generator, damage);
}

/* Bytes that nobody wrote, but with a right checksum: refused, or read to the end without harm. */
static void scramble(const struct input *input, struct mr_bytes position)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 46, position.size_bytes);
    for (uint32_t round = 0; round < 400; round++) {
        char bytes[POSITION_ROOM];
        struct mr_error err;
        size_t size = position.size_bytes;
        enum mr_status st;
        uint32_t sum;

        memcpy(bytes, position.data, size);
        for (uint64_t n = 1 + mr_prng_below(&prng, 3); n > 0; n--) {
            size_t at = 1 + (size_t)mr_prng_below(&prng, size - 5);

            bytes[at] = (char)(mr_prng_below(&prng, 2) ? mr_prng_next(&prng) : 0xff);
        }
        if (round % 8 == 0) size -= 1 + (size_t)mr_prng_below(&prng, size - 8);
        sum = mr_crc32c(0, bytes, size - 4);
        memcpy(bytes + size - 4, &sum, 4);
        st = go_on(input, (struct mr_bytes){bytes, size}, NULL, &err);
        MR_EXPECT(st == MR_OK || st == MR_E_CHANGED || is_refusal(st));
    }
}

MR_TEST(resume, bytes_that_nobody_wrote_do_no_harm)
{
    const struct changed_case generator = {GENERATOR, 0};

    for_all_files(scramble);
    with_stopped(&generator, scramble);
}

MR_TEST(resume, when_the_generator_has_other_options_then_it_is_refused)
{
    struct memory_disk disk;
    struct input input = {
        .shape = GENERATOR, .row_limit = 7, .quota_bytes = 1 << 20, .disk = &disk};
    char position[POSITION_ROOM];
    struct mr_error err;
    size_t size;

    memory_disk_init(&disk, mr_test_heap());
    size = stop_after(&input, 3, position);
    input.split_bytes = 1; /* the seed */
    MR_EXPECT_STATUS(go_on(&input, (struct mr_bytes){position, size}, NULL, &err), MR_E_CHANGED);
    MR_EXPECT_CONTAINS(err.text, "the generator has other options");
    memory_disk_fini(&disk);
}

/* ---- memory ---- */

static void fail_each(const struct input *input, struct mr_bytes position)
{
    struct memory_file *file = memory_disk_find(input->disk, "in");
    struct mr_heap *heap = mr_test_heap();

    if (file != NULL) file->modified_us = 88; /* compare, too */
    for (uint64_t n = 1;; n++) {
        struct source_part part;
        struct attempt attempt;
        struct mr_buffer buffer;
        enum mr_status st;
        bool failed;

        begin_part(&part);
        MR_EXPECT_OK(begin_attempt(&attempt, input, 0, &part, position), &attempt.err);
        attempt.source.ops->close(attempt.reader);
        attempt.reader = NULL;
        heap->fail_at = heap->alloc_count + n;
        mr_buffer_init(&buffer, heap);
        st = attempt.source.ops->open(attempt.source.spec, &attempt.list.splits[0],
                                      &(struct mr_reader_context){.heap = heap,
                                                                  .disk = &input->disk->disk,
                                                                  .reject = helper_reject,
                                                                  .reject_self = &part,
                                                                  .positions = true,
                                                                  .resume = position},
                                      &attempt.reader, &attempt.err);
        if (st == MR_OK) st = attempt.source.ops->position(attempt.reader, &buffer, &attempt.err);
        if (st != MR_OK) MR_EXPECT_EQ_UINT(buffer.size_bytes, 0);
        failed = heap->alloc_count >= heap->fail_at;
        heap->fail_at = 0;
        mr_buffer_fini(&buffer);
        end_attempt(&attempt);
        end_part(&part);
        free_part(&part);
        MR_EXPECT_EQ_INT(st, failed ? MR_E_NOMEM : MR_OK);
        if (!failed) return;
    }
}

MR_TEST(resume, when_any_allocation_fails_then_nothing_is_lost)
{
    for_all_files(fail_each);
}
