// SPDX-License-Identifier: MIT
// Nets as texts: what they are called, how they are written, and where wrong ones are wrong.
#include "training.h"

#include "nn/model.h"

static const struct shk_shape image = {16, 16, 3, 5};

static struct shk_model *make(const char *text) {
    struct shk_error err;
    struct shk_model *m = shk_model_outline(text, &image, &err);
    if (!m) fail_msg("%s: %s", text, err.text);
    return m;
}

static void test_one_way_to_write(void **state) {
    (void)state;
    static const struct {
        const char *text, *written;
    } cases[] = {
        {"net:flatten linear(classes)", "net:flatten linear(classes)"},
        {"net:\n\tconv( 8 , kernel = 5 )# wide\n relu  mean\r\nlinear(classes) # the head\n",
         "net:conv(8,kernel=5) relu mean linear(classes)"},
        {"net:3*( conv(8) relu)mean head=linear(classes)", "net:3*(conv(8) relu) mean head=linear(classes)"},
        {"net:a = conv(8) b=2*sum ( c=conv(8)|conv(8,1)|relu ) mean linear(5)",
         "net:a=conv(8) b=2*sum(c=conv(8) | conv(8,1) | relu) mean linear(5)"},
        {"net:conv(8) cat ( c=conv(4)|relu|cat(conv(1)) ) b=2*cat( conv(8) )mean linear(5)",
         "net:conv(8) cat(c=conv(4) | relu | cat(conv(1))) b=2*cat(conv(8)) mean linear(5)"},
        {"net:conv(8) sum(conv(8) , drop_path = 0.2 ) sum(relu|gelu, 0.1) mean linear(5)",
         "net:conv(8) sum(conv(8),drop_path=0.2) sum(relu | gelu,0.1) mean linear(5)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shk_model *m = make(cases[i].text);
        assert_string_equal(shk_model_description(m), cases[i].written);
        struct shk_model *again = make(cases[i].written);
        assert_string_equal(shk_model_description(again), cases[i].written);
        assert_int_equal(shk_model_parameters(m), shk_model_parameters(again));
        shk_model_free(again);
        shk_model_free(m);
    }
}

// As torch.nn.Sequential and named modules have them.
static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *text, *names[12];
    } cases[] = {
        {"net:conv(8) relu conv(8,1,bias=no) flatten linear(classes)",
         {"0.weight", "0.bias", "2.weight", "4.weight", "4.bias"}},
        {"net:stem=conv(8,bias=no) layer1=2*(sum(conv1=conv(8,bias=no) relu conv2=conv(8,bias=no)) relu) "
         "layer2=((sum(conv1=conv(4,stride=2,bias=no) | downsample=(conv(4,1,stride=2,bias=no))) relu)) mean "
         "fc=linear(classes)",
         {"stem.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight", "layer1.1.conv1.weight",
          "layer1.1.conv2.weight", "layer2.0.conv1.weight", "layer2.0.downsample.0.weight", "fc.weight", "fc.bias"}},
        {"net:conv(8) b=2*cat(n=bn conv(4)) cat(conv(4) | relu conv(2)) mean linear(classes)",
         {"0.weight", "0.bias", "b.0.n.weight", "b.0.n.bias", "b.0.n.running_mean", "b.0.n.running_var", "b.0.1.weight",
          "b.0.1.bias", "b.1.n.weight", "b.1.n.bias", "b.1.n.running_mean", "b.1.n.running_var"}},
        {"net:body=(patch_embed(8,8) cls=cls_token pos=positions) mean head=linear(classes)",
         {"body.cls", "body.pos", "body.0.weight", "body.0.bias", "head.weight", "head.bias"}},
        {"net:patch_embed(8,8) norm=ln blocks=encoder(2,norm=pre) mean linear(classes)",
         {"0.weight", "0.bias", "norm.weight", "norm.bias", "blocks.self_attn.in_proj_weight",
          "blocks.self_attn.in_proj_bias", "blocks.self_attn.out_proj.weight", "blocks.self_attn.out_proj.bias",
          "blocks.linear1.weight", "blocks.linear1.bias", "blocks.linear2.weight", "blocks.linear2.bias"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shk_model *m = make(cases[i].text);
        for (size_t k = 0; k < 12 && cases[i].names[k]; k++) {
            assert_true(k < shk_model_tensor_count(m));
            assert_string_equal(shk_model_tensor(m, k).name, cases[i].names[k]);
        }
        shk_model_free(m);
    }
}

// Presets that are texts, their keys, and titles. Parameters are those of PyTorch's modules.
static void test_presets(void **state) {
    (void)state;
    static const struct {
        const char *text, *title;
        size_t parameters;
        const char *last; // the name of the last tensor but one
    } cases[] = {
        {"lenet5", "LeNet-5", 6 * 76 + 16 * 151 + 17 * 120 + 121 * 84 + 85 * 5, "fc3.weight"},
        {"resnet20", "ResNet-20", 272474 - 65 * 5, "fc.weight"},
        {"resnet20:width=16", "ResNet-20", 272474 - 65 * 5, "fc.weight"},
        {"resnet20:bn=ghost", "resnet20:bn=ghost", 272474 - 65 * 5, "fc.weight"},
        {"resnet18", "ResNet-18", 11689512 - 513 * 995 - 64 * 3 * 40, "fc.weight"},
        {"resnet18:stem=large", "resnet18:stem=large", 11689512 - 513 * 995, "fc.weight"},
        {"resnet18:width=4,stem=small", "resnet18:width=4", 44457, "fc.weight"},
        {"mobilenet-tiny", "MobileNet-tiny", 121973, "fc.weight"},
        {"convmixer:kernel=7,dim=32,depth=2", "convmixer:dim=32,depth=2,kernel=7", 6213, "fc.weight"},
        {"cct", "CCT", 1728 + 73728 + 16 * 128 + 2 * 132480 + 256 + 129 + 129 * 5, "head.weight"},
        {"cct:pos=sincos", "cct:pos=sincos", 1728 + 73728 + 2 * 132480 + 256 + 129 + 129 * 5, "head.weight"},
        {"cct:dim=16,heads=4,depth=1", "cct:dim=16,depth=1,heads=4",
         8 * 27 + 16 * 72 + 16 * 16 + 48 * 17 + 16 * 17 + 32 * 17 + 16 * 33 + 64 + 32 + 17 + 17 * 5, "head.weight"},
        {"vit-tiny", "ViT-tiny", 192 * 49 + 192 + 17 * 192 + 12 * 444864 + 384 + 193 * 5, "head.weight"},
        {"vit-tiny:patch=8,dim=12,depth=2", "vit-tiny:dim=12,depth=2,patch=8",
         12 * 193 + 12 + 5 * 12 + 2 * (12 * 144 + 13 * 12) + 24 + 13 * 5, "head.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shk_model *m = make(cases[i].text);
        assert_string_equal(shk_model_title(m), cases[i].title);
        assert_int_equal(shk_model_parameters(m), cases[i].parameters);
        assert_string_equal(shk_model_tensor(m, shk_model_tensor_count(m) - 2).name, cases[i].last);
        const char *preset = shk_description_preset(&m->config);
        struct shk_model *again = make(preset), *net = make(shk_model_description(m));
        assert_string_equal(shk_model_description(again), shk_model_description(m));
        assert_string_equal(shk_model_title(again), shk_model_title(m));
        assert_string_equal(shk_model_description(net), shk_model_description(m));
        shk_model_free(m);
        shk_model_free(again);
        shk_model_free(net);
    }
    struct shk_model *m = make("resnet18:stem=large");
    static const char *const names[] = {"conv1.weight",     "bn1.weight",      "bn1.bias",
                                        "bn1.running_mean", "bn1.running_var", "layer1.0.conv1.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(shk_model_tensor(m, i).name, names[i]);
    assert_int_equal(shk_model_tensor_count(m), 102); // 62, and running statistics of 20 normalisations
    shk_model_free(m);
}

// A short form and its text are the same net.
static void test_short_forms(void **state) {
    (void)state;
    static const char *const forms[] = {"cnn",
                                        "cnn:channels=5-7-3,hidden=0",
                                        "tinyvit",
                                        "tinyvit-pre",
                                        "vit:pool=mean,pos=none,dropout=0.25,act=silu",
                                        "vit:dim=32,depth=3,norm=pre,pool=mean"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct shk_model *m = make(forms[i]);
        char text[SHK_MAX_NET + 4] = "net:";
        shk_description_net(&m->config, text + 4);
        struct shk_model *net = make(text);
        assert_int_equal(net->graph.count, m->graph.count);
        assert_int_equal(net->param_count, m->param_count);
        for (unsigned k = 0; k < m->param_count; k++) {
            assert_string_equal(net->params[k].name, m->params[k].name);
            assert_int_equal(net->params[k].size, m->params[k].size);
        }
        assert_true(net->training_flops == m->training_flops);
        shk_model_free(net);
        shk_model_free(m);
    }
}

// Four times as wide as a token where nothing else is said.
static void test_feed_forward(void **state) {
    (void)state;
    struct shk_model *m = make("vit:dim=32"), *n = make("net:patch_embed(20,4) b=encoder(2) mean linear(classes)");
    assert_int_equal(m->config.ff, 128);
    assert_non_null(strstr(shk_model_description(m), ",ff=128,"));
    for (size_t i = 0; i < shk_model_tensor_count(n); i++)
        if (!strcmp(shk_model_tensor(n, i).name, "b.linear1.weight"))
            assert_int_equal(shk_model_tensor(n, i).dims[0], 80);
    shk_model_free(m);
    shk_model_free(n);
}

// ---- Wrong ones

static void refused(const char *text, const char *place, const char *why) {
    struct shk_error err = {.text = ""};
    struct shk_model *m = shk_model_outline(text, &image, &err);
    if (m) fail_msg("%s: taken", text);
    assert_int_equal(err.code, SHK_BAD_INPUT);
    if (!strstr(err.text, place)) fail_msg("%s: '%s' does not name the place %s", text, err.text, place);
    if (!strstr(err.text, why)) fail_msg("%s: '%s' does not say %s", text, err.text, why);
}

static void test_wrong_texts(void **state) {
    (void)state;
    refused("net:", "character 1 (its end)", "empty");
    refused("net:conv(8", "character 7 (its end)", "')'");
    refused("net:conv(8) )", "character 9 (')')", "a layer is expected");
    refused("net:conv(8) (relu", "character 14 (its end)", "')'");
    refused("net:conv(8) sum relu", "character 13", "'('");
    refused("net:conv(8) sum()", "character 13", "empty");
    refused("net:conv(8) sum(relu | ) mean", "character 20", "empty");
    refused("net:conv(8) cat relu", "character 13", "'(' is expected behind cat");
    refused("net:conv(8) cat()", "character 13", "empty");
    refused("net:conv(8) cat(relu | ) mean", "character 20", "empty");
    refused("net:conv(8) cat(relu mean", "character 22 (its end)", "')' is expected behind branches");
    refused("net:0*relu", "character", "from 1 to 1000");
    refused("net:x*relu", "character", "from 1 to 1000");
    refused("net:1001*relu", "character", "from 1 to 1000");
    refused("net:99999999999999999999*relu", "character", "from 1 to 1000");
    refused("net:conv(8,)", "character 8 (')')", "a value is expected");
    refused("net:conv()", "character 6 (')')", "a value is expected");
    refused("net:conv(1,2,3,4,5,6,7,8,9)", "character", "more than 8 arguments");
    refused("net:conv(8)\n  relu\n blurb\n", "line 3, character 2 ('blurb')", "no layer is called so");
    refused("net:conw(8)", "character 1 ('conw(8)')", "did you mean conv?");
    refused("net:Relu", "character 1", "did you mean relu?");
    char deep[200] = "net:";
    for (int i = 0; i < 40; i++) strcat(deep, "(");
    refused(deep, "character", "nested more than 16 deep");
    char longer[6000] = "net:";
    for (int i = 0; i < 600; i++) strcat(longer, "relu ");
    refused(longer, "character", "more than 512 items");
    refused("net:1000*relu 1000*relu flatten linear(classes)", "character", "more than");
}

static void test_wrong_arguments(void **state) {
    (void)state;
    refused("net:conv", "character 1", "lacks its out");
    refused("net:conv(0)", "character 6 ('0)')", "out of conv must be a whole number from 1 to 4096");
    refused("net:conv(8,4)", "character 1", "1, 3, 5 or 7");
    refused("net:conv(8,9)", "character 1", "1, 3, 5 or 7");
    refused("net:conv(8,3,4)", "character 1", "its stride 1 or 2, or both the same");
    refused("net:conv(8,3,17)", "character 10", "stride of conv must be a whole number from 1 to 16");
    refused("net:conv(8,1,pad=1)", "character 1", "a pad that is not less than its kernel");
    refused("net:conv(8) conv(8,groups=3)", "character 9", "its 3 groups do not divide 8 channels into 8");
    refused("net:conv(8) conv(12,groups=8)", "character 9", "its 8 groups do not divide 8 channels into 12");
    refused("net:conv(8,groups=0)", "character 15", "groups of conv must be a whole number from 1 to 4096");
    refused("net:conv(8,stirde=2)", "character 8 ('stirde=2)')", "did you mean stride?");
    refused("net:conv(8,bias=maybe)", "character 13", "yes or no");
    refused("net:conv(8,out=8)", "character 8", "given twice");
    refused("net:conv(out=8,3)", "character 12", "stands behind one");
    refused("net:conv(1e3)", "character 6", "whole number");
    refused("net:patch_embed(8,4) positions(fixed)", "character 28", "kind of positions must be learned or sincos");
    refused("net:patch_embed(6,4) positions(sincos)", "character 18", "tokens of 6 numbers");
    refused("net:flatten linear(8) positions(sincos)", "character 19", "put it behind tokens or patch_embed");
    refused("net:conv(8) positions(sincos)", "character 9", "put it behind tokens or patch_embed");
    refused("net:patch_embed(8,4) cls positions(sincos)", "character 22", "takes the tokens of its grid");
    refused("net:patch_embed(8,4) seq_pool(8) linear(classes)", "character 27", "seq_pool takes no arguments");
    refused("net:conv(8) seq_pool linear(classes)", "character 9", "put tokens or patch_embed before it");
    refused("net:conv(8) sum(relu,drop_path=1)", "character 28",
            "drop_path of sum must be a probability from 0 to 0.9");
    refused("net:conv(8) sum(relu,dropout=0.1)", "character 18", "sum takes drop_path");
    refused("net:conv(8) sum(relu,)", "character 18", "a value is expected");
    refused("net:conv(8) sum(relu,drop_path=0.1,drop_path=0.1)", "character 32", "given twice");
    refused("net:conv(8) cat(relu,drop_path=0.1)", "character 18 ('drop_path=0.1)')", "cat takes no arguments");
    refused("net:patch_embed(8,4) encoder(2,drop_path=2)", "character 38",
            "drop_path of encoder must be a probability");
    refused("net:patch_embed(8,4) ln(eps=2)", "character 25", "eps of ln must be a number from 0 to 1");
    refused("net:patch_embed(8,4) ln(0)", "character 18", "an eps that is not above 0");
    refused("net:patch_embed(8,4) encoder(2,eps=0)", "character 18", "an eps that is not above 0");
    refused("net:tokens(3)", "character 8", "tokens takes no arguments");
    refused("net:relu(1)", "character 6", "relu takes no arguments");
    refused("net:conv(8) max_pool(3,pad=2)", "character 9", "a pad of more than half of its window");
    refused("net:conv(8) avg_pool(3,2,9)", "character 22", "pad of avg_pool must be a whole number from 0 to 8");
    refused("net:conv(8) avg_pool", "character 9", "lacks its window");
    refused("net:conv(8) avg_pool(0)", "character 18", "from 1 to 16");
    refused("net:conv(8) hardswish(1)", "character 19", "takes no arguments");
    refused("net:conv(8) se(0)", "character 12", "reduction of se must be a whole number from 1 to 256");
    refused("net:conv(8) se(act=gelu)", "character 16", "relu or silu");
    refused("net:conv(8) mean se linear(classes)", "character 14", "it takes a map, not a matrix");
    refused("net:dropout(0.95)", "character 9", "from 0 to 0.9");
    refused("net:dropout(nan)", "character 9", "from 0 to 0.9");
    refused("net:patch_embed(12,4) encoder(5) mean linear(classes)", "character 19 ('encoder(5) mean linear(c')",
            "5 heads do not divide tokens of 12");
    refused("net:patch_embed(12,5) mean linear(classes)", "character 1", "do not divide the map of 16x16");
}

static void test_wrong_presets(void **state) {
    (void)state;
    refused("resnet18:stem=medium", "stem=medium is not known", "stem=small or stem=large");
    refused("resnet18:width=0", "width=0", "from 1 to 512");
    refused("resnet18:with=8", "resnet18 has no key 'with'; it has stem, width and bn", "did you mean width?");
    refused("resnet20:width=8,width=8", "width", "stands twice");
    refused("resnet20:bn=group", "bn=group is not known", "bn=batch or bn=ghost");
    refused("resnet20:width", "'width'", "key=value");
    refused("lenet5:width=4", "lenet5", "no key 'width'");
    refused("convmixer:kernel=4", "convmixer:kernel=4: the net's text, character", "its kernel must be 1, 3, 5 or 7");
    refused("convmixer:depth=99", "depth=99", "from 1 to 64");
    refused("mobilenet-tiny:width=x", "width=x", "from 1 to 256");
    refused("cct:pos=none", "pos=none is not known", "pos=learned or pos=sincos");
    refused("cct:dim=130,pos=sincos", "cct:dim=130,pos=sincos: the net's text", "tokens of 130 numbers");
    refused("cct:heads=3", "cct:heads=3: the net's text", "its 3 heads do not divide tokens of 128 numbers");
    refused("vit-tiny:patch=5", "vit-tiny:patch=5: the net's text", "do not divide the map of 16x16");
    refused("vit-tiny:ff=5", "vit-tiny has no key 'ff'", "dim, depth, heads and patch");
    refused("resnet19", "unknown model 'resnet19'", "resnet18");
    struct shk_error err = {.text = ""};
    assert_null(shk_model_outline("lenet5", &(struct shk_shape){11, 11, 1, 2}, &err));
    assert_non_null(strstr(err.text, "LeNet-5: the net's text, character"));
}

static void test_wrong_nets(void **state) {
    (void)state;
    refused("net:max_pool(2) max_pool(16) mean linear(classes)", "character 13 ('max_pool(16) mean linear')",
            "shrinks its map to nothing");
    refused("net:conv(8) linear(classes)", "character 9", "put flatten or mean before it");
    refused("net:conv(8) encoder(2) mean linear(classes)", "character 9", "put tokens or patch_embed before it");
    refused("net:flatten tokens mean linear(classes)", "character 9", "takes a map, not a matrix");
    refused("net:conv(8) cls_token mean linear(classes)", "character 9", "takes a matrix, not a map");
    refused("net:conv(8) positions mean linear(classes)", "character 9", "takes a matrix, not a map");
    refused("net:max_pool(2) patch_embed(8,3) mean linear(classes)", "character 13", "do not divide the map of 8x8");
    refused("net:conv(8) sum(conv(4)) mean linear(classes)", "character 9", "unequal");
    refused("net:conv(8) sum(conv(8) | conv(8,stride=2)) mean linear(classes)", "character 9",
            "unequal values, a map of 16x16 pixels of 8 channels and a map of 8x8 pixels of 8");
    refused("net:conv(8) cat(conv(4) | max_pool(2)) mean linear(classes)", "character 9 ('cat(conv(4) | max_pool(2')",
            "joins channels of a map of 16x16 pixels and of a map of 8x8 pixels: let both be maps of one size");
    refused("net:conv(8) cat(relu | tokens) mean linear(classes)", "character 9",
            "of a map of 16x16 pixels and of 256 rows");
    refused("net:tokens cat(cls_token) mean linear(classes)", "character 8", "of 256 rows and of 257 rows");
    refused("net:conv(6) flatten ln linear(classes)", "behind flatten, the layer norm 2", "a multiple of 16 channels");
    refused("net:conv(8) cat(dropout(0)) mean linear(classes)", "character 9", "two of its branches are the value");
    refused("net:40*cat(relu) mean linear(classes)", "character 4",
            "makes 98304 channels of 49152 and 49152, at most 65536");
    refused("net:conv(8) flatten sum(relu | relu) patch_embed(4,2) mean linear(classes)", "character", "takes a map");
    refused("net:flatten conv(8) mean linear(classes)", "character 9", "takes a map, not a matrix");
    refused("net:flatten linear(65536) linear(65536) linear(classes)", "character", "parameters, at most 100000000");
    refused("net:conv(8) relu mean", "ends with 8 numbers", "linear(classes)");
    refused("net:conv(8)", "ends with a map of 16x16x8", "linear(classes)");
    refused("net:patch_embed(8,4) linear(classes)", "ends with 16 rows of 5 numbers", "linear(classes)");
    refused("net:a=conv(8) a=conv(8) mean linear(classes)", "a.weight", "another name");
    refused("net:a_name_that_is_longer_than_anyone_would_ever_want_it=conv(8)", "character", "too long");
    refused("net:a_long_name_for_a_group=(a_long_name_for_a_group=(conv(8)))", "character", "too long");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_way_to_write), cmocka_unit_test(test_names),
        cmocka_unit_test(test_short_forms),      cmocka_unit_test(test_presets),
        cmocka_unit_test(test_feed_forward),     cmocka_unit_test(test_wrong_texts),
        cmocka_unit_test(test_wrong_arguments),  cmocka_unit_test(test_wrong_nets),
        cmocka_unit_test(test_wrong_presets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
