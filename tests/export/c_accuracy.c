// SPDX-License-Identifier: MIT
// c_accuracy FOLDER, compiled with -include MODEL.c: how many of the 1,000 images that accuracy.py cut the file gets right.
#include <stdio.h>

enum { COUNT = 1000, PIXELS = model_height * model_width * model_channels };
static unsigned char pixels[COUNT][PIXELS], labels[COUNT];

static int fetch(const char *folder, const char *name, void *to, size_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    return !f || fread(to, 1, size, f) != size || fclose(f) != 0;
}

int main(int argc, char **argv) {
    float logits[model_classes];
    int right = 0;
    if (argc != 2 || fetch(argv[1], "images.u8", pixels, sizeof pixels) || fetch(argv[1], "labels.u8", labels, COUNT))
        return 1;
    for (int i = 0; i < COUNT; i++) {
        int best = 0;
        model_predict_bytes(pixels[i], logits);
        for (int c = 1; c < model_classes; c++)
            if (logits[c] > logits[best]) best = c;
        right += best == labels[i];
    }
    printf("%d\n", right);
    return 0;
}
