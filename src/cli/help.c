#include "cli.h"

#include "api/options.h"
#include <string.h>

void mri_cli_print_command(const struct mri_cli_command *command, FILE *out)
{
    fprintf(out, "usage: millrace %s%s%s\nIt %s.\n", command->name,
            command->arguments[0] == '\0' ? "" : " ", command->arguments, command->summary);
    fputs(command->help, out);
}

static void print_overview(FILE *out)
{
    fputs(
        "usage: millrace COMMAND [arguments]\n"
        "Millrace runs jobs over streams and batches of events; jobs are programs of their own.\n",
        out);
    for (uint32_t i = 0; i < mri_cli_command_count; i++) {
        fprintf(out, "  %-25s%s\n", mri_cli_commands[i]->name, mri_cli_commands[i]->summary);
    }
    fputs("example:  millrace help completion\n"
          "exit:     0 done, 1 it failed, 2 wrong usage\n",
          out);
}

/* The page docs/reference/cli.md, from the same rows that are parsed. */
static void print_reference(FILE *out)
{
    fputs("# Command line\n\n"
          "<!-- written by `millrace help reference`; a test compares -->\n\n"
          "Every job is a program, and every one of them takes these options. `--name VALUE` and\n"
          "`--name=VALUE` mean the same; given twice, the last one counts. A job's own options are "
          "in its\n`--help`, first.\n\n",
          out);
    mri_print_reference(out);
    fputs(
        "\nSizes are bytes, or carry a unit: KiB, MiB, GiB, TiB (powers of 1024), KB, MB, GB, TB "
        "(powers of\n1000). Durations are whole numbers with units, largest first: `2d`, `1h30m`, "
        "`10s`, `500ms`,\n`100us`. With `NO_COLOR` in the environment nothing is coloured. The "
        "progress line appears on\nstandard error only if that is a terminal. What the exit code "
        "means: [exit codes](exit-codes.md).\n\n## millrace\n\n| command | meaning "
        "|\n|---|---|\n",
        out);
    for (uint32_t i = 0; i < mri_cli_command_count; i++) {
        const struct mri_cli_command *command = mri_cli_commands[i];
        fprintf(out, "| `millrace %s%s", command->name, command->arguments[0] == '\0' ? "" : " ");
        for (const char *at = command->arguments; *at != '\0'; at++) {
            if (*at == '|') fputc('\\', out);
            fputc(*at, out);
        }
        fprintf(out, "` | %s |\n", command->summary);
    }
}

static int run_help(int argc, char **argv)
{
    const struct mri_cli_command *command;

    if (argc < 2) {
        print_overview(stdout);
        return MRI_EXIT_DONE;
    }
    if (strcmp(argv[1], "reference") == 0) {
        print_reference(stdout);
        return MRI_EXIT_DONE;
    }
    command = mri_cli_find(argv[1]);
    if (command == NULL) return mri_cli_unknown(argv[1]);
    mri_cli_print_command(command, stdout);
    return MRI_EXIT_DONE;
}

const struct mri_cli_command mri_cli_help = {
    .name = "help",
    .arguments = "[COMMAND|reference]",
    .summary = "explains a command, or prints all options as a page of the manual",
    .help = "example:  millrace help completion\n"
            "exit:     0 done, 2 wrong usage\n",
    .words = "version state log completion help reference",
    .run = run_help,
};
