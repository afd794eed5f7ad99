/* keyed_state.c - how fast a process function reads, changes and writes state: 8-byte keys and
 * values, uniform over a million keys, one worker.
 *
 *     build/release/bench_keyed_state [rows|batches] [MILLIONS]
 *
 * Built with the other programs of this folder, or by hand against libmillrace.a. It shows the rate
 * of the whole job (an own source, the exchange, the function) and, for batches, that of the
 * function alone.
 */
#include <inttypes.h>
#include <millrace/millrace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS 1000000u

struct keys { /* the source: xorshift, so that making a key costs next to nothing */
    uint64_t random;
    uint64_t made;
    uint64_t rows;
};

static uint64_t in_function_ns; /* one worker */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static enum mr_status open_keys(void *user, uint32_t partition, void **out_reader)
{
    (void)partition;
    *out_reader = user;
    return MR_OK;
}

static enum mr_status read_keys(void *reader, uint32_t row_limit, struct mr_emitter *out,
                                enum mr_read_result *out_result)
{
    struct keys *source = reader;
    uint32_t rows = 0;
    enum mr_status status = mr_emit_open(out, row_limit, &rows);
    int64_t *keys, *values;

    if (status != MR_OK) return status;
    keys = mr_emit_int64s(out, 0);
    values = mr_emit_int64s(out, 1);
    for (uint32_t i = 0; i < rows; i++) {
        source->random ^= source->random << 13;
        source->random ^= source->random >> 7;
        source->random ^= source->random << 17;
        keys[i] = (int64_t)((source->random >> 20) % KEYS);
        values[i] = (int64_t)i;
    }
    source->made += rows;
    if (source->made >= source->rows) *out_result = MR_READ_END;
    return mr_emit_close(out, rows);
}

static enum mr_status add_row(void *user, struct mr_process_context *context,
                              const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_record sum = mr_value_make(context, 0);

    (void)user;
    (void)out;
    mr_record_set_int64(&sum, 0, mr_record_int64(&sum, 0) + mr_row_int64(row, 1));
    return MR_OK;
}

static enum mr_status add_batch(void *user, struct mr_process_context *context,
                                const struct mr_batch *batch, struct mr_emitter *out)
{
    const int64_t *values = mr_batch_int64s(batch, 1);
    uint64_t begin = now_ns();
    struct mr_state_array sums;
    enum mr_status status = mr_state_prepare(context, 0, &sums);

    (void)user;
    (void)out;
    if (status != MR_OK) return status;
    for (uint32_t i = 0; i < mr_batch_rows(batch); i++) *mr_array_int64(&sums, i, 0) += values[i];
    in_function_ns += now_ns() - begin;
    return MR_OK;
}

static int run(bool by_row, struct keys *keys)
{
    static const struct mr_field columns[] = {{.name = "k", .type = MR_INT64, .not_null = true},
                                              {.name = "v", .type = MR_INT64, .not_null = true}};
    static const struct mr_field value[] = {{.name = "sum", .type = MR_INT64}};
    static const struct mr_state states[] = {
        {.name = "sum", .kind = MR_STATE_VALUE, .fields = value, .field_count = 1}};
    const struct mr_source_functions source = {
        .size = sizeof source, .partitions = 1, .open = open_keys, .read = read_keys};
    const struct mr_process_options options = {
        .size = sizeof options, .id = "sums", .states = states, .state_count = 1};
    const struct mr_job_options one_worker = {.size = sizeof one_worker, .workers = 1};
    const char *const key[] = {"k"};
    struct mr_job *job = mr_job_create("keyed_state", &one_worker);
    struct mr_stream *in = mr_read_source(job, "keys", &source, keys, columns, 2, false);
    uint64_t begin = now_ns();
    enum mr_status status;

    in = mr_key_by_columns(in, key, 1);
    mr_discard(by_row ? mr_process_rows(in, add_row, NULL, &options)
                      : mr_process_batches(in, add_batch, NULL, &options));
    status = mr_job_run(job, NULL);
    begin = now_ns() - begin;
    if (status != MR_OK) fprintf(stderr, "%s\n", mr_job_error(job));
    mr_job_destroy(job);
    if (status != MR_OK) return 1;
    printf("%s: %.1f M rows/s", by_row ? "rows" : "batches",
           (double)keys->made * 1e3 / (double)begin);
    if (in_function_ns > 0) {
        printf(", in the function alone %.1f M rows/s",
               (double)keys->made * 1e3 / (double)in_function_ns);
    }
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    struct keys keys = {.random = 88172645463325252u, .rows = 50000000};
    bool by_row = argc > 1 && strcmp(argv[1], "rows") == 0;

    if (argc > 2) keys.rows = strtoull(argv[2], NULL, 10) * 1000000;
    return run(by_row, &keys);
}
