/* tinymill.c - a whole job in one file: an own source, an own operator, windows, output.
 *
 * Two water mills report how fast their wheels turn. The source makes the reports (yours would read
 * a device or a queue), the operator drops broken ones and turns raw counts into revolutions per
 * minute, the engine takes the mean and the fastest per mill and ten seconds.
 *
 * Build:  cc tinymill.c $(pkg-config --cflags --libs millrace) -o tinymill
 *
 * It is C and C++ at once, hence the casts and the plain assignments.
 */
#include <millrace/millrace.h>
#include <stdio.h>
#include <stdlib.h>

#define REPORTS 600 /* per mill: one minute, ten a second */

/* ---- the source: one reader per mill ---- */

struct mill {
    uint32_t number;
    uint32_t reports;
    uint32_t noise;
};

static enum mr_status mill_open(void *user, uint32_t partition, void **out_reader)
{
    struct mill *mill = (struct mill *)calloc(1, sizeof *mill);

    (void)user;
    if (mill == NULL) return MR_E_NOMEM;
    mill->number = partition;
    mill->noise = partition + 1;
    *out_reader = mill;
    return MR_OK;
}

/* Columns: mill, count (turns of the axle times 1000 within 100 ms; now and then the sensor says -1). */
static enum mr_status mill_read(void *reader, uint32_t row_limit, struct mr_emitter *out,
                                enum mr_read_result *out_result)
{
    struct mill *mill = (struct mill *)reader;

    for (uint32_t i = 0; i < row_limit && mill->reports < REPORTS; i++, mill->reports++) {
        enum mr_status status;

        mill->noise = mill->noise * 1664525u + 1013904223u;
        mr_emit_int64(out, 0, mill->number);
        mr_emit_int64(out, 1, mill->reports % 97 == 50 ? -1 : 20 + (int64_t)(mill->noise >> 28));
        mr_emit_time(out, mill->reports * 100 * MR_MILLISECOND);
        status = mr_emit_row(out);
        if (status != MR_OK) return status;
    }
    *out_result = mill->reports < REPORTS ? MR_READ_MORE : MR_READ_END;
    return MR_OK;
}

static void mill_close(void *reader)
{
    free(reader);
}

/* ---- the operator: one row in, at most one row out ---- */

static enum mr_status to_rpm(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    int64_t count = mr_row_int64(row, 1);

    (void)user;
    if (count < 0) return MR_OK; /* a broken report: nothing comes out */
    mr_emit_int64(out, 0, mr_row_int64(row, 0));
    mr_emit_float64(out, 1, (double)(count * 600) / 1000);
    return mr_emit_row(out);
}

/* ---- the job ---- */

static struct mr_field column(const char *name, enum mr_type type)
{
    struct mr_field field;

    memset(&field, 0, sizeof field);
    field.name = name;
    field.type = type;
    return field;
}

static struct mr_aggregate aggregate(const char *name, const char *function,
                                     struct mr_expr *argument)
{
    struct mr_aggregate result;

    memset(&result, 0, sizeof result);
    result.name = name;
    result.function = function;
    result.argument = argument;
    return result;
}

static void build(struct mr_job *job)
{
    const struct mr_field reported[] = {column("mill", MR_INT64), column("count", MR_INT64)};
    const struct mr_field turned[] = {column("mill", MR_INT64), column("rpm", MR_FLOAT64)};
    const struct mr_aggregate aggregates[] = {
        aggregate("reports", "count", NULL),
        aggregate("mean_rpm", "avg", mr_col(job, "rpm")),
        aggregate("fastest", "max", mr_col(job, "rpm")),
    };
    const char *key = "mill";
    struct mr_source_functions mills;
    struct mr_function_options rpm;
    struct mr_stream *stream;

    memset(&mills, 0, sizeof mills);
    mills.size = sizeof mills;
    mills.partitions = 2;
    mills.open = mill_open;
    mills.read = mill_read;
    mills.close = mill_close;
    memset(&rpm, 0, sizeof rpm);
    rpm.size = sizeof rpm;
    rpm.id = "to-rpm";
    rpm.fields = turned;
    rpm.field_count = 2;

    stream = mr_read_source(job, "mills", &mills, NULL, reported, 2, true);
    stream = mr_map_rows(stream, to_rpm, NULL, &rpm);
    stream = mr_window_tumbling(mr_key_by_columns(stream, &key, 1), 10 * MR_SECOND);
    mr_write(mr_aggregate(stream, aggregates, 3), NULL); /* to stdout */
}

int main(void)
{
    struct mr_job *job = mr_job_create("tinymill", NULL);
    enum mr_status status;

    build(job);
    status = mr_job_run(job, NULL);
    if (status != MR_OK) fprintf(stderr, "tinymill: %s\n", mr_job_error(job));
    mr_job_destroy(job);
    return status == MR_OK ? 0 : 1;
}
