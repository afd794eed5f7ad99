/* poison.c - copies lines; crashes on one that says `poison`, fails the first time on one that says
 * `flaky`. */
#include <millrace/millrace.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool failed;

static enum mr_status copy(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_bytes line = mr_row_bytes(row, 0);

    (void)user;
    if (line.size_bytes == 5 && memcmp(line.data, "flaky", 5) == 0 && !atomic_exchange(&failed, true)) {
        return MR_E_USER_FUNCTION;
    }
    if (line.size_bytes == 6 && memcmp(line.data, "poison", 6) == 0) abort();
    mr_emit_bytes(out, 0, line.data, line.size_bytes);
    return mr_emit_row(out);
}

static void build(struct mr_job *job, const struct mr_arguments *arguments)
{
    const struct mr_read_text_options options = {.size = sizeof options,
                                                 .path = mr_input_path(arguments),
                                                 .rate = mr_input_rate(arguments)};

    mr_write_output(mr_map_rows(mr_read_text(job, &options), copy, NULL, NULL), arguments);
}

int main(int argc, char **argv)
{
    const struct mr_command command = {.size = sizeof command,
                                       .name = "poison",
                                       .summary = "Copies lines.",
                                       .example = "poison --input in.txt",
                                       .needs_input = true};

    return mr_command_run(&command, build, argc, argv);
}
