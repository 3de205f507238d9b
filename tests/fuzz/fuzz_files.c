// SPDX-License-Identifier: MIT
// A model's file and a checkpoint from any bytes: as they are, and with length, padding and checksum put right, so that
// what lies behind these is reached. A checkpoint that is refused must leave the trainer as it was.
#include "fuzz.h"

#include "formats/checkpoint.h"
#include "formats/model_file.h"
#include <shikaku/shikaku.h>
#include <stdio.h>
#include <string.h>

enum { CHECKSUM_END = SHK_ST_CHECKSUM + 16 };

// ---- Files that are right on the outside ----

// Header and data of a file whose length may lie. False where it cannot hold a checksum.
static int split(const uint8_t *file, size_t size, size_t *header) {
    if (size < CHECKSUM_END) return 0;
    memcpy(header, file, sizeof *header);
    if (*header > size - SHK_ST_LENGTH) *header = size - SHK_ST_LENGTH;
    return *header >= CHECKSUM_END - SHK_ST_LENGTH;
}

// Puts a file together from its header, without the padding, and its data. `out` has place for 64 bytes more.
static size_t join(uint8_t *out, const uint8_t *header, size_t length, const uint8_t *data, size_t size) {
    size_t padded = (length + SHK_ST_LENGTH + 63) / 64 * 64 - SHK_ST_LENGTH;
    memcpy(out, &padded, SHK_ST_LENGTH);
    memcpy(out + SHK_ST_LENGTH, header, length);
    memset(out + SHK_ST_LENGTH + length, ' ', padded - length);
    if (size) memcpy(out + SHK_ST_LENGTH + padded, data, size);
    return SHK_ST_LENGTH + padded + size;
}

static size_t without_padding(const uint8_t *header, size_t length) {
    while (length > CHECKSUM_END - SHK_ST_LENGTH && header[length - 1] == ' ') length--;
    return length;
}

// The header with the numerics version of today, which the corpus outlives; `out` has place for 16 bytes more.
static size_t with_numerics(const uint8_t *header, size_t length, uint8_t *out) {
    static const char key[] = "\"numerics\":\"";
    const uint8_t *at = memmem(header, length, key, sizeof key - 1);
    size_t before = at ? (size_t)(at - header) + sizeof key - 1 : length, after = before;
    while (after < length && header[after] >= '0' && header[after] <= '9') after++;
    memcpy(out, header, before);
    size_t n = before;
    if (at) n += (size_t)sprintf((char *)out + n, "%d", SHK_NUMERICS_VERSION);
    memcpy(out + n, header + after, length - after);
    return n + length - after;
}

// 0: it cannot be put right.
static size_t repair(const uint8_t *file, size_t size, uint8_t *out) {
    size_t header;
    char digits[17];
    if (!split(file, size, &header)) return 0;
    const uint8_t *begin = file + SHK_ST_LENGTH, *data = begin + header;
    uint8_t *changed = malloc(header + 16);
    size_t length = with_numerics(begin, without_padding(begin, header), changed);
    size_t n = join(out, changed, length, data, size - SHK_ST_LENGTH - header);
    free(changed);
    shk_st_checksum(out, n, digits);
    memcpy(out + SHK_ST_CHECKSUM, digits, 16);
    return n;
}

// Changes the header or the data, so that the one stays whole where the other changes its length.
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    size_t header;
    if (seed % 8 == 0 || most < size + 256 || !split(data, size, &header)) return LLVMFuzzerMutate(data, size, most);
    size_t fixed = CHECKSUM_END - SHK_ST_LENGTH, values = size - SHK_ST_LENGTH - header, spare = most - size - 64;
    size_t length = without_padding(data + SHK_ST_LENGTH, header);
    uint8_t *part = malloc(most), *rest = malloc(most), *out = malloc(most + 64);
    memcpy(part, data + SHK_ST_LENGTH, length);
    memcpy(rest, data + SHK_ST_LENGTH + header, values);
    if (seed % 8 < 6)
        length = fixed + LLVMFuzzerMutate(part + fixed, length - fixed, length - fixed + spare);
    else
        values = LLVMFuzzerMutate(rest, values, values + spare);
    size = join(out, part, length, rest, values);
    if (size > most) size = most;
    memcpy(data, out, size);
    free(part);
    free(rest);
    free(out);
    return size;
}

// ---- The target ----

static struct shk_trainer *trainer;
static struct shk_model *model;

static void begin(void) {
    struct shk_error err;
    const struct shk_shape shape = {8, 8, 1, 2};
    struct shk_runtime *runtime = shk_runtime_create(&(struct shk_runtime_options){.threads = 1}, &err);
    model = runtime ? shk_model_create("cnn:channels=1,hidden=0", &shape, 1, &err) : NULL;
    trainer = model ? shk_trainer_create(model, runtime, &(struct shk_train_options){.batch = 4}, &err) : NULL;
    must(trainer != NULL);
}

static void check_model(const struct shk_bytes *bytes) {
    struct shk_error err = {0};
    struct shk_model *m = shk_model_from_bytes("file", bytes, &err);
    if (m)
        shk_model_hash(m);
    else
        must(err.code != SHK_OK && err.text[0]);
    shk_model_free(m);
}

static void check_trainer(const struct shk_bytes *bytes) {
    struct shk_error err = {0};
    uint64_t hash = shk_model_hash(model);
    struct shk_position at = shk_trainer_position(trainer);
    struct shk_best best = shk_trainer_best(trainer);
    if (shk_trainer_from_bytes(trainer, "file", bytes, &err)) return;
    must(err.code != SHK_OK && err.text[0]);
    must(shk_model_hash(model) == hash &&
         !memcmp(&at, &(struct shk_position){trainer->position.epoch, trainer->position.step}, sizeof at));
    must(best.epoch == shk_trainer_best(trainer).epoch);
}

static void check(const uint8_t *data, size_t size) {
    struct shk_bytes bytes = {aligned_alloc(64, size + 64 - size % 64), size};
    if (size) memcpy(bytes.data, data, size);
    check_model(&bytes);
    check_trainer(&bytes);
    free(bytes.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!trainer) begin();
    check(data, size);
    uint8_t *repaired = malloc(size + 128);
    size_t n = repair(data, size, repaired);
    if (n) check(repaired, n);
    free(repaired);
    return 0;
}
