/*
 * Runs a fuzzer without libFuzzer: every file of the folder, then mutations of each with a fixed
 * seed. When the fuzzer aborts, the input is left as `crash` in the working folder, to become part
 * of the corpus.
 */
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include "common/rng.h"
#include "tests/fuzz/fuzz.h"

#include "common/banned.h"

enum { MUTATIONS_PER_FILE = 2000, MOST_BYTES = 1 << 20 };

static const uint8_t *running;
static size_t running_len;

static void save_input(int signal_number)
{
    FILE *file = fopen("crash", "wb");
    if (file != NULL) {
        (void)fwrite(running, 1, running_len, file);
        (void)fclose(file);
    }
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

/* In a block of just that size, so that the sanitizer sees a read behind the end. */
static void run(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    FUZZ_CHECK(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    running = copy;
    running_len = len;
    FUZZ_CHECK(LLVMFuzzerTestOneInput(copy, len) == 0);
    free(copy);
}

/* Cuts, overwrites, flips, drops or doubles a few bytes; returns the new length, at most `len` + 8.
 */
static size_t mutate(uint8_t *data, size_t len, struct rng *rng)
{
    for (uint64_t times = 1 + rng_below(rng, 4); times > 0 && len > 0; times--) {
        size_t at = (size_t)rng_below(rng, len);
        switch (rng_below(rng, 6)) {
        case 0:
            len = at;
            break;
        case 1:
            data[at] = (uint8_t)rng_next(rng);
            break;
        case 2:
            data[at] ^= (uint8_t)(1u << rng_below(rng, 8));
            break;
        case 3:
            memmove(data + at, data + at + 1, len - at - 1);
            len--;
            break;
        case 4:
            memmove(data + at + 1, data + at, len - at);
            len++;
            break;
        default: /* what is structure elsewhere */
            data[at] = data[rng_below(rng, len)];
            break;
        }
    }
    return len;
}

static void run_file(const char *folder, const char *name, struct rng *rng)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    uint8_t *original = malloc(MOST_BYTES);
    uint8_t *mutant = malloc(MOST_BYTES + 8);
    FUZZ_CHECK(file != NULL && original != NULL && mutant != NULL);
    size_t len = fread(original, 1, MOST_BYTES, file);
    (void)fclose(file);
    run(original, len);
    for (int i = 0; i < MUTATIONS_PER_FILE; i++) {
        memcpy(mutant, original, len);
        run(mutant, mutate(mutant, len, rng));
    }
    free(original);
    free(mutant);
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int count = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    if (count < 0) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    (void)signal(SIGABRT, save_input);
    (void)signal(SIGSEGV, save_input);
    struct rng rng;
    rng_init(&rng, 1);
    int ran = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            run_file(argv[1], entries[i]->d_name, &rng);
            ran++;
        }
        free(entries[i]);
    }
    free(entries);
    printf("%d files of %s and %d mutations of each\n", ran, argv[1], MUTATIONS_PER_FILE);
    return ran > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
