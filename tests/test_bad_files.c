// SPDX-License-Identifier: MIT
// Files that are damaged, and files that lie although their checksum is right: each is refused with a sentence, and the
// trainer stays as it was.
#include "training.h"

#include "formats/checkpoint.h"
#include "formats/model_file.h"
#include <unistd.h>

static const struct shk_shape small = {8, 8, 1, 2};
static const char model[] = "cnn:channels=1,hidden=0";
static char folder[] = "/tmp/shikaku-bad-XXXXXX", path[100];

struct file {
    unsigned char *bytes; // aligned to 64 bytes, with place for more
    size_t size;
};
static struct file checkpoint, weights; // whole ones
static struct training trained;         // to be left alone
static uint64_t hash;

enum { SPARE = 1 << 20 };

static struct file file_of(const void *bytes, size_t size) {
    struct file f = {aligned_alloc(64, (size + SPARE) / 64 * 64), size};
    assert_non_null(f.bytes);
    memcpy(f.bytes, bytes, size);
    return f;
}

static struct file read_it(void) {
    size_t size;
    char *bytes = read_file(path, &size);
    struct file f = file_of(bytes, size);
    free(bytes);
    return f;
}

static int begin(void **state) {
    (void)state;
    struct shk_error err;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a", folder);
    const struct shk_train_options options = {.batch = 20};
    trained = training_of(model, &small, &options, (struct way){NULL, 1});
    train_to(&trained, 2, 2);
    if (!shk_trainer_save(trained.trainer, path, NULL, 0, &err)) return -1;
    checkpoint = read_it();
    if (!shk_model_save(trained.model, path, NULL, 0, &err)) return -1;
    weights = read_it();
    train_to(&trained, 2, 3); // elsewhere than the file
    hash = shk_model_hash(trained.model);
    return 0;
}

static int end(void **state) {
    (void)state;
    free(checkpoint.bytes);
    free(weights.bytes);
    training_free(&trained);
    unlink(path);
    return rmdir(folder);
}

// Every refusal counts.
static size_t refusals;

static void check_refusal(bool done, const struct shk_error *err) {
    if (done || err->code != SHK_BAD_INPUT || strlen(err->text) < 20)
        fail_msg("done %d, code %d: '%s'", done, (int)err->code, err->text);
    if (shk_model_hash(trained.model) != hash || shk_trainer_position(trained.trainer).epoch != 1 ||
        shk_trainer_position(trained.trainer).step != 3)
        fail_msg("the trainer has changed: %s", err->text);
    refusals++;
}

static void trainer_refuses(const unsigned char *bytes, size_t size, struct shk_error *err) {
    const struct shk_bytes b = {(unsigned char *)bytes, size};
    *err = (struct shk_error){0};
    check_refusal(shk_trainer_from_bytes(trained.trainer, "x.ckpt", &b, err), err);
}

static void model_refuses(const unsigned char *bytes, size_t size, struct shk_error *err) {
    const struct shk_bytes b = {(unsigned char *)bytes, size};
    *err = (struct shk_error){0};
    struct shk_model *m = shk_model_from_bytes("x.safetensors", &b, err);
    shk_model_free(m);
    check_refusal(m, err);
}

// ---- Damage

static void test_cut(void **state) {
    (void)state;
    struct shk_error err;
    refusals = 0;
    for (size_t n = 0; n < checkpoint.size; n++) {
        // In a block of its own, so that a sanitizer sees what is read behind it.
        unsigned char *exact = aligned_alloc(64, (n + 63) / 64 * 64 + 64);
        memcpy(exact, checkpoint.bytes, n);
        trainer_refuses(exact, n, &err);
        free(exact);
        write_file(path, checkpoint.bytes, n);
        err = (struct shk_error){0};
        check_refusal(shk_trainer_load(trained.trainer, path, &err), &err);
        if (!strstr(err.text, path)) fail_msg("no path: %s", err.text);
    }
    for (size_t n = 0; n < weights.size; n++) model_refuses(weights.bytes, n, &err);
    struct file longer = file_of(checkpoint.bytes, checkpoint.size);
    longer.bytes[longer.size++] = 0;
    trainer_refuses(longer.bytes, longer.size, &err);
    free(longer.bytes);
    print_message("%zu files cut or longer, all refused\n", refusals);
}

static void flip(struct file *f, void (*refuses)(const unsigned char *, size_t, struct shk_error *), size_t at,
                 unsigned char bits) {
    struct shk_error err;
    f->bytes[at] ^= bits;
    refuses(f->bytes, f->size, &err);
    f->bytes[at] ^= bits;
}

static void test_flipped(void **state) {
    (void)state;
    struct file *files[] = {&checkpoint, &weights};
    void (*refuses[])(const unsigned char *, size_t, struct shk_error *) = {trainer_refuses, model_refuses};
    refusals = 0;
    for (int k = 0; k < 2; k++)
        for (size_t at = 0; at < files[k]->size; at++) {
            flip(files[k], refuses[k], at, 0xff);
            for (int bit = 0; bit < 8; bit++) flip(files[k], refuses[k], at, (unsigned char)(1 << bit));
        }
    print_message("%zu files with a changed bit or byte, all refused\n", refusals);
}

// ---- Lies

static void set_length(struct file *f, uint64_t length) { memcpy(f->bytes, &length, 8); }

static void set_checksum(struct file *f) {
    char digits[17];
    shk_st_checksum(f->bytes, f->size, digits);
    memcpy(f->bytes + SHK_ST_CHECKSUM, digits, 16);
}

static uint64_t length_of(const struct file *f) {
    uint64_t length;
    memcpy(&length, f->bytes, 8);
    return length;
}

// The same file with a part of its header replaced, padded anew, and with the right length and checksum.
static struct file patched(const struct file *from, const char *find, size_t find_size, const char *with, size_t n) {
    uint64_t length = length_of(from);
    const char *header = (const char *)from->bytes + 8, *at = memmem(header, length, find, find_size);
    if (!at) fail_msg("'%s' is not in the header", find);
    struct file f = file_of(from->bytes, from->size);
    size_t before = (size_t)(at - header), rest = length - before - find_size;
    char *out = (char *)f.bytes + 8 + before;
    memcpy(out, with, n);
    memcpy(out + n, at + find_size, rest);
    size_t used = before + n + rest;
    while (((const char *)f.bytes)[8 + used - 1] == ' ') used--;
    size_t padded = (used + 8 + 63) / 64 * 64 - 8, data = from->size - 8 - length;
    memset(f.bytes + 8 + used, ' ', padded - used);
    memcpy(f.bytes + 8 + padded, from->bytes + 8 + length, data);
    f.size = 8 + padded + data;
    set_length(&f, padded);
    set_checksum(&f);
    return f;
}

static void must_say(const struct shk_error *err, const char *text) {
    if (!strstr(err->text, text)) fail_msg("'%s' does not say '%s'", err->text, text);
}

static void check_lie(const char *find, const char *with, const char *says) {
    struct shk_error err;
    struct file f = patched(&checkpoint, find, strlen(find), with, strlen(with));
    trainer_refuses(f.bytes, f.size, &err);
    must_say(&err, says);
    free(f.bytes);
}

#define CONV "\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[1,1,3,3],\"data_offsets\":[0,36]}"
#define ENTRY(shape, offsets) "\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_lies(void **state) {
    (void)state;
    static const struct {
        const char *find, *with, *says;
    } lies[] = {
        // JSON
        {CONV, CONV "," CONV, "cannot be read"},
        {CONV,
         "\"conv1.w\\u0065ight\""
         ":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}," CONV,
         "cannot be read"},
        {"\"format\":\"pt\"", "\"format\":\"pt\",\"format\":\"pt\"", "cannot be read"},
        {CONV, "\"__metadata__\":{}," CONV, "cannot be read"},
        {CONV, CONV ",", "cannot be read"},
        {CONV, CONV ",,", "cannot be read"},
        {CONV, CONV " " CONV, "cannot be read"},
        {CONV, "\"conv1.weight\":[]", "no object"},
        {CONV, "\"conv1.weight\":null", "no object"},
        {CONV, "\"conv1.weight\" {}", "cannot be read"},
        {CONV, "\"conv1.weight\":{}", "must have dtype, shape and data_offsets"},
        {CONV, "\"a\nb\":{}", "cannot be read"},
        {CONV, "\"\xc0\x80\":{}", "cannot be read"},
        {CONV, "\"\xed\xa0\x80\":{}", "cannot be read"},
        {CONV, "\"\xf4\x90\x80\x80\":{}", "cannot be read"},
        {CONV, "\"\xe2\x82\":{}", "cannot be read"},
        {CONV, "\"\\u0000\":{}", "cannot be read"},
        {CONV, "\"\\ud800\":{}", "cannot be read"},
        {CONV, "\"\\udc00\":{}", "cannot be read"},
        {CONV, "\"\\ud83d\\u0041\":{}", "cannot be read"},
        {CONV, "\"\\ud83d\\ude00\":{}", "must have dtype"},
        {CONV, "\"\\x41\":{}", "cannot be read"},
        {CONV, "\"\\u00g0\":{}", "cannot be read"},
        {"[528,", "[528}}", "cannot be read"},
        {"}}", "}}{}", "cannot be read"},
        {"}}", "}}]", "cannot be read"},
        {"}}", "}", "cannot be read"},
        {"\"format\":\"pt\"", "\"format\":7", "are no text"},
        {"\"format\":\"pt\"", "\"format\":{\"a\":\"b\"}", "are no text"},
        {"\"format\":\"pt\"", "\"format\":null", "are no text"},
        // Tensors
        {CONV, ENTRY("[1,1,3,3,1]", "[0,36]"), "its shape must be a list of at most 4 whole numbers"},
        {CONV, ENTRY("[1,1,3,3]", "[0,36,36]"), "its data_offsets must be a list of two whole numbers"},
        {CONV, ENTRY("[1,1,3,3]", "[0]"), "its data_offsets must be a list of two whole numbers"},
        {CONV, ENTRY("[1,1,3,3]", "[]"), "its data_offsets must be a list of two whole numbers"},
        {CONV, ENTRY("[1,1,3,3]", "36"), "must be a list of"},
        {CONV, ENTRY("{}", "[0,36]"), "must be a list of"},
        {CONV, ENTRY("[1,1,3,-3]", "[0,36]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,3.0]", "[0,36]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,3e0]", "[0,36]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,03]", "[0,36]"), "cannot be read"},
        {CONV, ENTRY("[1,1,3,+3]", "[0,36]"), "cannot be read"},
        {CONV, ENTRY("[1,1,3,\"3\"]", "[0,36]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,true]", "[0,36]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,[3]]", "[0,36]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,3,]", "[0,36]"), "cannot be read"},
        {CONV, ENTRY("[1,1,9,]", "[0,36]"), "cannot be read"},
        {CONV, ENTRY("[1,1,3,1e300]", "[0,36]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,18446744073709551616]", "[0,36]"), "cannot be read"},
        {CONV, ENTRY("[1,1,3,99999999999999999999999999]", "[0,36]"), "cannot be read"},
        {CONV, ENTRY("[1,1,3,9223372036854775808]", "[0,36]"), "cannot be read"},
        {CONV, ENTRY("[4294967296,4294967296]", "[0,36]"), "more numbers than memory can hold"},
        {CONV, ENTRY("[4611686018427387904]", "[0,36]"), "more numbers than memory can hold"},
        {CONV, ENTRY("[4611686018427387905]", "[0,4]"), "more numbers than memory can hold"},
        {CONV, ENTRY("[4611686018427387903]", "[0,18446744073709551612]"), "cannot be read"},
        {CONV, ENTRY("[1,1,3,3]", "[0,40]"), "has 40 bytes, but its shape takes 36"},
        {CONV, ENTRY("[1,1,3,3]", "[36,0]"), "ends before"},
        {CONV, ENTRY("[1,1,3,3]", "[4,40]"), "begins at byte"},
        {CONV, ENTRY("[1,1,3,3]", "[-36,0]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,3]", "[0.5,36.5]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,3]", "[1e300,1e300]"), "whole numbers"},
        {CONV, ENTRY("[1,1,3,3]", "[9223372036854775808,9223372036854775844]"), "cannot be read"},
        {CONV, ENTRY("[1,3,3]", "[0,36]"), "has the shape [1, 3, 3], but must have [1, 1, 3, 3]"},
        {CONV, ENTRY("[1,1,9,1]", "[0,36]"), "has the shape [1, 1, 9, 1]"},
        {CONV, ENTRY("[]", "[0,4]") ",\"rest\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[4,36]}",
         "the shape []"},
        {CONV, CONV ",\"empty\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", "has the tensor 'empty'"},
        {CONV, CONV ",\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}", "begins at byte"},
        {CONV ",", "", "begins at byte 36 of the data, but must at byte 0"},
        {"\"conv1.weight\"", "\"conv9.weight\"", "lacks the tensor 'conv1.weight'"},
        {"\"optimizer.exp_avg.conv1.weight\"", "\"optimizer.exp_avg.conv9.weight\"", "lacks the tensor"},
        {"\"epoch.losses\"", "\"epoch.loss\"", "lacks the tensor 'epoch.losses'"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"I32\"", "I32"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"F64\"", "F64"},
        {"\"dtype\":\"F32\"", "\"dtype\":32", "must have dtype"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"F32\",\"dtype\":\"F32\"", "cannot be read"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"F32\",\"more\":\"F32\"", "and nothing else"},
        {"\"dtype\":\"F32\",", "", "must have dtype"},
        // Metadata
        {"\"shikaku\":\"1\"", "\"shikaku\":\"2\"", "is of file version 2"},
        {"\"shikaku\":\"1\"", "\"shikaku\":\"-1\"", "must be a whole number"},
        {"\"shikaku\":\"1\",", "", "lacks 'shikaku'"},
        {"\"numerics\":\"", "\"numerics\":\"9", "was made with numerics 9"},
        {"\"kind\":\"checkpoint\"", "\"kind\":\"model\"", "a checkpoint is needed"},
        {"\"kind\":\"checkpoint\"", "\"kind\":\"thing\"", "must be a model or a checkpoint"},
        {"\"height\":\"8\"", "\"height\":\"9\"", "was made with height 9"},
        {"\"lr\":\"0.001\"", "\"lr\":\"1e-3\"", "was made with lr 1e-3"},
        {"\"position.epoch\":\"1\"", "\"position.epoch\":\"01\"", "must be a whole number"},
        {"\"position.epoch\":\"1\"", "\"position.epoch\":\"4294967296\"", "must be a whole number of at most"},
        {"\"position.epoch\":\"1\"", "\"position.epoch\":\"18446744073709551617\"", "must be a whole number"},
        {"\"position.epoch\":\"1\"", "\"position.epoch\":\"\"", "must be a whole number"},
        {"\"position.epoch\":\"1\"", "\"position.epoch\":\"0\"", "is only at epoch 0, step 2"},
        {"\"position.step\":\"2\"", "\"position.step\":\"4\"", "50 samples are 3 steps"},
        {"\"position.step\":\"2\"", "\"position.step\":\"3\"", "the shape [40], but must have [50]"},
        {"\"position.step\":\"2\"", "\"position.step\":\"0\"", "has the tensor 'epoch.losses'"},
        {"\"position.step\":\"2\"", "\"position.step\":\"-2\"", "must be a whole number"},
        {"\"samples\":\"50\"", "\"samples\":\"0\"", "0 samples are 0 steps"},
        {"\"samples\":\"50\"", "\"samples\":\"10000001\"", "of at most 10000000"},
        {"\"optimizer.steps\":\"5\"", "\"optimizer.steps\":\"10000003\"", "has taken 10000003 steps"},
        {"\"optimizer.steps\":\"5\"", "\"optimizer.steps\":\"9223372036854775808\"", "must be a whole number"},
        {"\"best.epoch\":\"1\"", "\"best.epoch\":\"2\"", "has its best epoch, 2, after the last one, 1"},
        {"\"best.loss\":\"", "\"best.loss\":\"-", "which cannot be"},
        {"\"best.loss\":\"", "\"best.loss\":\"x", "must be a number"},
        {"\"best.accuracy\":\"", "\"best.accuracy\":\"7", "which cannot be"},
        {"\"best.accuracy\":\"", "\"best.accuracy\":\"nan\",\"a\":\"", "which cannot be"},
        {"\"epoch.data\":\"", "\"epoch.data\":\"0", "must be 16 hexadecimal digits"},
        {"\"epoch.data\":\"", "\"epoch.data\":\"0x0123456789abcd\",\"a\":\"", "must be 16 hexadecimal digits"},
        {"\"epoch.data\":\"", "\"epoch.data\":\"\",\"a\":\"", "must be 16 hexadecimal digits"},
        {"\"epoch.seconds\":\"", "\"epoch.seconds\":\"-", "which cannot be"},
        {"\"epoch.seconds\":\"", "\"epoch.seconds\":\"inf\",\"a\":\"", "which cannot be"},
        {"\"epoch.seconds\":\"", "\"epoch.seconds\":\" ", "must be a number"},
        {"\"lr\":", "\"\x1b[2J\":", "cannot be read"},
    };
    refusals = 0;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) check_lie(lies[i].find, lies[i].with, lies[i].says);
    print_message("%zu lies, all refused\n", refusals);
}

// What is unusual, but says the same.
static void test_truths(void **state) {
    (void)state;
    static const char *const truths[][2] = {
        {CONV, "\n\t \"conv1\\u002eweight\" : { \"shape\" : [ 1 , 1 , 3 , 3 ] ,\r\"data_offsets\":[ 0,36 ],"
               "\"dtype\":\"\\u004632\"}"},
        {"\"format\":\"pt\"", "\"format\":\"\\ud83d\\ude00 \\\"\\\\\\/\\b\\f\\n\\r\\t \xf0\x9f\x98\x80\""},
        {"\"format\":\"pt\"", "\"format\":\"pt\",\"unknown\":\"to us\""},
        {"\"epoch.data\":", "\"epoch.date\":"}, // as in older files
    };
    const struct shk_train_options options = {.batch = 20};
    for (size_t i = 0; i < sizeof truths / sizeof *truths; i++) {
        struct shk_error err = {0};
        struct training t = training_of(model, &small, &options, (struct way){NULL, 1});
        struct file f = patched(&checkpoint, truths[i][0], strlen(truths[i][0]), truths[i][1], strlen(truths[i][1]));
        const struct shk_bytes b = {f.bytes, f.size};
        if (!shk_trainer_from_bytes(t.trainer, "x.ckpt", &b, &err)) fail_msg("%s", err.text);
        assert_int_equal(shk_trainer_position(t.trainer).step, 2);
        train(&t, 2);
        struct training whole = training_of(model, &small, &options, (struct way){NULL, 1});
        train(&whole, 2);
        assert_true(shk_model_hash(t.model) == shk_model_hash(whole.model));
        free(f.bytes);
        training_free(&t);
        training_free(&whole);
    }
}

// Text that no terminal should obey, in a sentence.
static void test_sentences(void **state) {
    (void)state;
    struct shk_error err;
    struct file f = patched(&checkpoint, "\"lr\":\"0.001\"", 12, "\"lr\":\"\\u001b[2J\\u007f\\r\"", 24);
    trainer_refuses(f.bytes, f.size, &err);
    for (const char *c = err.text; *c; c++) assert_true((unsigned char)*c >= ' ' && *c != 127);
    free(f.bytes);
}

static void check_length(uint64_t length, const char *says) {
    struct shk_error err;
    struct file f = file_of(checkpoint.bytes, checkpoint.size);
    set_length(&f, length);
    set_checksum(&f);
    trainer_refuses(f.bytes, f.size, &err);
    must_say(&err, says);
    free(f.bytes);
}

static void test_lengths(void **state) {
    (void)state;
    uint64_t own = length_of(&checkpoint);
    check_length(UINT64_MAX, "does not begin with the length");
    check_length((uint64_t)1 << 63, "does not begin with the length");
    check_length(SHK_ST_MAX_HEADER + 1, "does not begin with the length");
    check_length(SHK_ST_MAX_HEADER, "ends inside its header");
    check_length(checkpoint.size - 7, "ends inside its header");
    check_length(own - 1, "must be a multiple of 64");
    check_length(own + 64, "header"); // the data are read as JSON
    check_length(own - 64 * (own / 64 / 2), "header");
    check_length(56, "header");
    check_length(0, "no checksum");
    check_length(44, "no checksum");
}

// Data that belong to no tensor, or are not there.
static void test_data(void **state) {
    (void)state;
    struct shk_error err;
    struct file f = file_of(checkpoint.bytes, checkpoint.size);
    memset(f.bytes + f.size, 0, 64);
    for (int more = -4; more <= 64; more += 4) {
        if (more == 0) continue;
        f.size = checkpoint.size + (size_t)more;
        set_checksum(&f);
        trainer_refuses(f.bytes, f.size, &err);
        must_say(&err, more < 0 ? "ends at byte" : "bytes of data, but its tensors take");
    }
    free(f.bytes);
}

// Deep and wide headers: no stack is used up, and no more memory than is due.
static void test_deep(void **state) {
    (void)state;
    static const char *const units[] = {"[",          "{",        "{\"a\":", "\"a\":{", "[[", "{}",
                                        "\"\":\"\",", "\"\":{},", "\\",      "\"",      " ",  ","};
    enum { BYTES = 500000 };
    char *text = malloc(BYTES + 16);
    refusals = 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        static const char *const places[] = {CONV, "\"format\":\"pt\""};
        size_t n = 0, unit = strlen(units[i]);
        while (n + unit <= BYTES) {
            memcpy(text + n, units[i], unit);
            n += unit;
        }
        for (int place = 0; place < 2; place++) {
            struct shk_error err;
            struct file f = patched(&checkpoint, places[place], strlen(places[place]), text, n);
            trainer_refuses(f.bytes, f.size, &err);
            model_refuses(f.bytes, f.size, &err);
            free(f.bytes);
        }
    }
    free(text);
    print_message("%zu deep or wide headers, all refused\n", refusals);
}

// ---- Numbers

static void test_numbers(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct shk_error err;
    size_t data = 8 + length_of(&checkpoint), numbers = (checkpoint.size - data) / 4, tensors = 44;
    assert_int_equal(numbers, 3 * tensors + 40);
    refusals = 0;
    for (size_t i = 0; i < numbers; i++) {
        for (int k = 0; k < 4; k++) {
            float value = k < 3 ? bad[k] : -1e-30f;
            bool second_moment = i >= 2 * tensors && i < 3 * tensors;
            if (k == 3 && !second_moment) continue;
            struct file f = file_of(checkpoint.bytes, checkpoint.size);
            memcpy(f.bytes + data + 4 * i, &value, 4);
            set_checksum(&f);
            trainer_refuses(f.bytes, f.size, &err);
            must_say(&err, k == 3 ? "must not be negative" : "must be finite");
            if (k < 3 && i < tensors) model_refuses(f.bytes, f.size, &err);
            free(f.bytes);
        }
    }
    print_message("%zu bad numbers, all refused\n", refusals);
}

static void model_lie(const char *find, const char *with, const char *says) {
    struct shk_error err;
    struct file f = patched(&weights, find, strlen(find), with, strlen(with));
    model_refuses(f.bytes, f.size, &err);
    must_say(&err, says);
    free(f.bytes);
}

static void test_models(void **state) {
    (void)state;
    model_lie("\"model\":\"cnn:channels=1,hidden=0\"", "\"model\":\"cnn:channels=2,hidden=0\"", "conv1.weight");
    model_lie("\"model\":\"cnn:channels=1,hidden=0\"", "\"model\":\"cnn:hidden=0,channels=1\"", "calls its model");
    model_lie("\"model\":\"cnn:channels=1,hidden=0\"", "\"model\":\"nothing\"", "describes no model");
    model_lie("\"model\":\"cnn:channels=1,hidden=0\"", "\"model\":\"cnn:channels=999999999999\"", "describes no model");
    model_lie("\"model\":", "\"preset\":\"tinycnn\",\"model\":", "calls its model tinycnn");
    model_lie("\"height\":\"8\"", "\"height\":\"4294967295\"", "describes no model");
    model_lie("\"height\":\"8\"", "\"height\":\"0\"", "describes no model");
    model_lie("\"classes\":\"2\"", "\"classes\":\"3\"", "fc1.weight");
    model_lie(CONV, CONV ",\"optimizer.x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[36,36]}",
              "its model lacks");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),    cmocka_unit_test(test_flipped), cmocka_unit_test(test_lies),
        cmocka_unit_test(test_truths), cmocka_unit_test(test_lengths), cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_data),   cmocka_unit_test(test_deep),    cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
