#include "cli.h"

#include <millrace/millrace.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown compiler"
#endif

/* What this processor has, of what the engine can make use of. */
static void print_cpu(FILE *out)
{
#if defined(__x86_64__)
    static const char *const names[] = {"sse4.2", "avx2", "bmi2", "avx512f", "avx512bw"};
    bool has[MR_COUNT(names)];
    const char *separator = ": ";

    __builtin_cpu_init();
    has[0] = __builtin_cpu_supports("sse4.2") != 0;
    has[1] = __builtin_cpu_supports("avx2") != 0;
    has[2] = __builtin_cpu_supports("bmi2") != 0;
    has[3] = __builtin_cpu_supports("avx512f") != 0;
    has[4] = __builtin_cpu_supports("avx512bw") != 0;
    fputs("cpu       x86-64", out);
    for (size_t i = 0; i < MR_COUNT(names); i++) {
        if (!has[i]) continue;
        fprintf(out, "%s%s", separator, names[i]);
        separator = " ";
    }
    fputc('\n', out);
#elif defined(__aarch64__)
    fputs("cpu       aarch64\n", out);
#else
    fputs("cpu       generic\n", out);
#endif
}

static int run_version(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(stderr, "millrace: version takes no argument, but there is '%.80s'\n", argv[1]);
        return MRI_EXIT_USAGE;
    }
    printf("millrace  %s\n", mr_version());
    printf("compiler  %s\n", COMPILER);
    print_cpu(stdout);
    return MRI_EXIT_DONE;
}

const struct mri_cli_command mri_cli_version = {
    .name = "version",
    .arguments = "",
    .summary = "prints version, compiler and what the processor offers",
    .help = "example:  millrace version\n"
            "exit:     0 done, 2 wrong usage\n",
    .words = "",
    .run = run_version,
};
