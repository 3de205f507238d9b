// SPDX-License-Identifier: MIT
// c_logits DIR FILE COUNT, compiled with -include MODEL.c, checks the self-test of an exported file, prints the largest
// difference of the logits of so many images from DIR/logits.f32, and writes them to DIR/FILE.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 100, PIXELS = model_height * model_width * model_channels };
static unsigned char pixels[IMAGES][PIXELS];
static float wanted[IMAGES][model_classes], logits[IMAGES][model_classes];

static int transfer(const char *dir, const char *name, const char *mode, void *to, size_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, mode);
    if (!f) return 1;
    const size_t n = *mode == 'r' ? fread(to, 1, size, f) : fwrite(to, 1, size, f);
    return fclose(f) != 0 || n != size;
}

int main(int argc, char **argv) {
    float worst = 0, floats[PIXELS], again[model_classes];
    const int count = argc == 4 ? atoi(argv[3]) : 0;
    if (count < 1 || count > IMAGES || model_self_test() != 0) return 1;
    if (transfer(argv[1], "pixels.u8", "r", pixels, sizeof pixels)) return 2;
    if (transfer(argv[1], "logits.f32", "r", wanted, sizeof wanted)) return 2;
    for (int i = 0; i < count; i++) {
        model_predict_bytes(pixels[i], logits[i]);
        for (int k = 0; k < PIXELS; k++) floats[k] = (float)pixels[i][k] / 255.0f;
        model_predict(floats, again);
        if (memcmp(again, logits[i], sizeof again) != 0) return 3;
        for (int k = 0; k < model_classes; k++) {
            const float d = logits[i][k] - wanted[i][k], size = wanted[i][k] < 0 ? -wanted[i][k] : wanted[i][k];
            const float relative = (d < 0 ? -d : d) / (1 + size);
            if (!(relative <= worst)) worst = relative;
        }
    }
    printf("%.2e\n", (double)worst);
    return transfer(argv[1], argv[2], "w", logits, (size_t)count * sizeof *logits);
}
