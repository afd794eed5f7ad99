/* fuzz_driver.h - a fuzz target as a program of its own: files that are named, or random damage.
 *
 *     PROGRAM [-n ROUNDS] [-s SEED] [FILE...]
 *
 * Included by a target behind its LLVMFuzzerTestOneInput; where libFuzzer or the test frame bring the
 * main function it is left out.
 *
 * Owns:    none.
 * Thread:  one.
 * Fails:   ends the program with 1 when a file cannot be read.
 * Cost:    none.
 */
#ifndef MR_FUZZ_DRIVER_H
#define MR_FUZZ_DRIVER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fuzz_file(const char *path, uint8_t *room, size_t room_bytes,
                      int (*run)(const uint8_t *data, size_t size_bytes))
{
    FILE *file = fopen(path, "rb");
    size_t size;

    if (file == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    size = fread(room, 1, room_bytes, file);
    (void)fclose(file);
    (void)run(room, size);
}

static int fuzz_main(int argc, char **argv, uint64_t rounds, uint8_t *room, size_t room_bytes,
                     int (*run)(const uint8_t *data, size_t size_bytes),
                     void (*run_random)(uint64_t seed, uint64_t rounds))
{
    uint64_t seed = 1;
    bool files = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
            rounds = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else {
            fuzz_file(argv[i], room, room_bytes, run);
            files = true;
        }
    }
    if (!files) run_random(seed, rounds);
    return 0;
}

#endif
