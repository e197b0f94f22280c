/* Runs every kernel on numbers that are the same on every machine, and prints a hash of what each one wrote: two
 * instruction sets give the same bits where their lines are the same. tools/equal_bits.py compiles this with the kernels for
 * x86-64 and for arm64, and compares.
 *
 *     digest avx2 [file]    "neon" and "baseline" likewise; all results are written to the file, as doubles
 *
 * The numbers come from an LCG and from bit patterns; nothing of libm is called. */
#include "dispatch.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 24576, N_FAMILIES = 4 };

static uint64_t state;
static FILE *dump;

static uint64_t next_bits(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 11;
}

static double uniform(double low, double high) { return low + (high - low) * ((double)next_bits() * 0x1p-53); }

/* Of every size from 2^-(2 range) to 2^range, of either sign. */
static double wide(int range)
{
    double mantissa = uniform(1, 2), power = 1;
    int exponent = (int)(next_bits() % (3u * (unsigned)range)) - 2 * range;
    for (int i = 0; i < abs(exponent); i++)
        power *= exponent < 0 ? 0.5 : 2;
    return next_bits() & 1 ? mantissa * power : -mantissa * power;
}

/* Families of arguments: everyday numbers; probabilities; two classes against scores of every size; the ends. */
static double sample(int family, int is_target, int single)
{
    static const double ENDS[] = {0.0, 1.0, 0.5, 88.7, 709.7, 1e-45, 1e-38, 3e38, 16.6, 36.7};
    switch (family) {
    case 0:
        return uniform(-8, 8);
    case 1:
        return uniform(0, 1);
    case 2:
        return is_target ? (next_bits() & 1 ? 1.0 : -1.0) : wide(single ? 60 : 400);
    default: {
        uint64_t pick = next_bits() % 14;
        double x = pick < 10 ? ENDS[pick] : uniform(-100, 100);
        x = pick == 10 ? (double)INFINITY : pick == 11 ? (double)NAN : x;
        return next_bits() & 1 ? x : -x;
    }
    }
}

static void place(fl_view *view, void *memory, int kind, fl_size n)
{
    memset(view, 0, sizeof *view);
    view->data = memory;
    view->kind = kind;
    view->ndim = 1;
    view->shape[0] = n;
    view->strides[0] = kind == FL_F64 ? 8 : kind == FL_F32 ? 4 : 2;
}

/* One array of the working type, or of half precision (rounded by cutting its bits: any pattern will do). */
static void fill(fl_view *view, void *memory, int kind, fl_size rows, fl_size columns, int family, int is_target)
{
    fl_size n = rows * columns;
    place(view, memory, kind, n);
    for (fl_size i = 0; i < n; i++) {
        double x = sample(family, is_target, kind != FL_F64);
        float single = (float)x;
        uint32_t bits;
        memcpy(&bits, &single, 4);
        if (kind == FL_F64)
            ((double *)memory)[i] = x;
        else if (kind == FL_F32)
            ((float *)memory)[i] = single;
        else if (kind == FL_BF16)
            ((uint16_t *)memory)[i] = (uint16_t)(bits >> 16);
        else /* binary16 of small exponent, or NaN */
            ((uint16_t *)memory)[i] = (uint16_t)((bits >> 16 & 0x8000) | (next_bits() & 0x4bff));
    }
}

/* FNV-1a over the values, all NaN alike: their sign and payload are the machine's own affair. */
static uint64_t add_value(uint64_t hash, double x)
{
    uint64_t bits = 0x7ff8000000000000u;
    if (x == x)
        memcpy(&bits, &x, 8);
    if (dump)
        fwrite(&bits, 8, 1, dump);
    for (int i = 0; i < 8; i++)
        hash = (hash ^ (bits >> 8 * i & 0xff)) * 1099511628211u;
    return hash;
}

static uint64_t add_view(uint64_t hash, const fl_view *view)
{
    for (fl_size i = 0; view->data && i < view->shape[0]; i++) {
        float single;
        if (view->kind == FL_F64) {
            hash = add_value(hash, ((double *)view->data)[i]);
        } else if (view->kind == FL_F32) {
            hash = add_value(hash, ((float *)view->data)[i]);
        } else {
            uint16_t half = ((uint16_t *)view->data)[i];
            uint32_t bits = (uint32_t)half << 16; /* a binary16 is only compared by its bits, but for NaN */
            if (view->kind == FL_F16 && (half & 0x7fff) > 0x7c00)
                bits = 0x7fc00000;
            memcpy(&single, &bits, 4);
            hash = add_value(hash, single);
        }
    }
    return hash;
}

static double input[MOST], target[MOST], parameter[FL_MAX_PARAMETERS][MOST], weight[MOST], value[MOST], grad[MOST],
    hess[MOST];

static void report(const char *name, const char *kind, const char *what, uint64_t hash, fl_size count)
{
    printf("%s %s %s %016llx %ld\n", name, kind, what, (unsigned long long)hash, (long)count);
}

static const char *name_of_kind(int kind)
{
    return kind == FL_F64 ? "f64" : kind == FL_F32 ? "f32" : kind == FL_F16 ? "f16" : "bf16";
}

static void run_pointwise(const fl_kernels *kernels, int loss, const char *name, int n_parameters, int n_wrt, int kind)
{
    static const int WANTS[] = {FL_VALUE, FL_VALUE | FL_GRAD, FL_GRAD | FL_HESS};
    for (int wrt = 0; wrt == 0 || wrt < n_wrt; wrt++)
        for (int w = wrt > 0; w < (n_wrt > 0 ? 3 : 1); w++)
            for (int family = 0; family < N_FAMILIES; family++) {
                fl_pointwise_job job;
                memset(&job, 0, sizeof job);
                state = 12345;
                fl_size n = family == 0 ? 20011 : 1003;
                job.loss = loss, job.want = WANTS[w], job.wrt = wrt;
                job.n_parameters = n_parameters;
                job.size = n, job.block_size = 16384, job.n_blocks = (n + 16383) / 16384;
                job.target_scale = 1, job.scale = family == 0 ? 1 : 0.3;
                fill(&job.input, input, kind, n, 1, family, 0);
                fill(&job.target, target, kind, n, 1, family, 1);
                for (int k = 0; k < n_parameters; k++)
                    fill(&job.parameters[k], parameter[k], FL_F64, n, 1, 1, 0);
                if (family == 1)
                    fill(&job.sample_weight, weight, FL_F64, n, 1, 1, 0);
                if (job.want & FL_VALUE)
                    place(&job.value, value, kind, n);
                if (job.want & FL_GRAD)
                    place(&job.grad, grad, kind, n);
                if (job.want & FL_HESS)
                    place(&job.hess, hess, kind, n);
                fl_pointwise_partial partial[2];
                memset(partial, 0, sizeof partial);
                uint64_t hash = 14695981039346656037u;
                for (fl_size b = 0; b < job.n_blocks; b++) {
                    kernels->run_pointwise(&job, b, &partial[b]);
                    hash = add_value(hash, fl_total(partial[b].loss));
                }
                hash = add_view(add_view(add_view(hash, &job.value), &job.grad), &job.hess);
                const int n_results = !!job.value.data + !!job.grad.data + !!job.hess.data;
                job.value.data = NULL; /* then they are added up */
                for (fl_size b = 0; b < job.n_blocks && job.want & FL_VALUE; b++) {
                    kernels->run_pointwise(&job, b, &partial[b]);
                    hash = add_value(hash, fl_total(partial[b].loss));
                }
                char what[64];
                snprintf(what, sizeof what, "wrt%d-want%d-family%d", wrt, job.want, family);
                report(name, name_of_kind(kind), what, hash,
                       n * n_results + (job.want & FL_VALUE ? 2 : 1) * job.n_blocks);
            }
}

static int64_t labels[MOST];

/* Rows lie side by side; or, the other way, the flat view that add_view() wants. */
static void to_columns(fl_view *view, fl_size rows, fl_size classes)
{
    const fl_size size = view->strides[0];
    if (!view->data)
        return;
    view->ndim = 2;
    view->shape[0] = rows, view->shape[1] = classes;
    view->strides[0] = size, view->strides[1] = rows * size;
}

static void to_flat(fl_view *view)
{
    if (view->ndim < 2)
        return;
    view->ndim = 1;
    view->shape[0] *= view->shape[1];
}

static void run_rows(const fl_kernels *kernels, int op, const char *name, int kind, int soft, double smoothing)
{
    static const fl_size SHAPES[][2] = {{41, 2}, {37, 3}, {100, 10}, {33, 17}, {19, 64}, {35, 65}, {19, 145}, {18, 200},
                                        {6, 300}, {3, 1000}, {1, 20000}, {37, 300}, {19, 1000}, {37, 100}, {37, 321},
                                        {70, 101}};
    /* the last are walked in another way (wide_lanes.h, fills_group()) */
    enum { FIRST_IN_COLUMNS = 11, FIRST_WITHOUT_HESSIAN = 14 };
    const int is_loss = op == FL_CROSS_ENTROPY || op == FL_NLL || op == FL_SOFTMAX_FOCAL || op == FL_MULTI_MARGIN ||
                        op == FL_MULTI_MARGIN_SQUARED;
    const int per_row = is_loss || op == FL_LOGSUMEXP || op == FL_PROBABILITY_CROSS_ENTROPY;
    const int has_second = soft || op == FL_PROBABILITY_CROSS_ENTROPY || op == FL_SOFTMAX_GRAD ||
                           op == FL_LOG_SOFTMAX_GRAD;
    for (unsigned s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++)
        for (int family = 0; family < N_FAMILIES; family++) {
            fl_rows_job job;
            memset(&job, 0, sizeof job);
            state = 54321;
            fl_size rows = SHAPES[s][0], classes = SHAPES[s][1], n = rows * classes;
            job.op = op, job.n_rows = rows, job.n_classes = classes, job.block_rows = rows, job.n_blocks = job.together = 1;
            job.scale = 0.3, job.smoothing = smoothing, job.gamma = 2, job.margin = 1, job.want_sum = is_loss;
            fill(&job.input, input, kind, rows, classes, family, 0);
            if (has_second)
                fill(&job.target, target, kind, rows, classes, 1, 1);
            if (is_loss && !soft) {
                place(&job.labels, labels, FL_F64, rows); /* for the strides, which are those of int64 */
                job.labels.kind = FL_I64;
                for (fl_size i = 0; i < rows; i++)
                    labels[i] = (int64_t)(next_bits() % (uint64_t)classes);
                job.has_ignore = 1, job.ignore_bits = 1;
            }
            if (is_loss && family == 1)
                fill(&job.weight, weight, FL_F64, classes, 1, 1, 0);
            if (per_row)
                place(&job.value, value, kind, rows);
            if (!per_row || is_loss)
                place(&job.grad, grad, kind, n);
            if (is_loss && s < FIRST_WITHOUT_HESSIAN)
                place(&job.hess, hess, kind, n);
            fl_view *const matrices[] = {&job.input, &job.target, &job.grad, &job.hess};
            const int in_columns = s >= FIRST_IN_COLUMNS;
            for (int v = 0; v < 4 && in_columns; v++)
                to_columns(matrices[v], rows, classes);
            fl_rows_partial partial;
            memset(&partial, 0, sizeof partial);
            kernels->check_rows(&job, 0, &partial);
            kernels->run_rows(&job, 0, &partial);
            for (int v = 0; v < 4; v++)
                to_flat(matrices[v]);
            uint64_t hash = add_value(14695981039346656037u, fl_total(partial.loss));
            hash = add_value(hash, fl_total(partial.weight));
            hash = add_view(add_view(add_view(hash, &job.value), &job.grad), &job.hess);
            char what[64];
            snprintf(what, sizeof what, "%ldx%ld%s-family%d", (long)rows, (long)classes, in_columns ? "-columns" : "",
                     family);
            report(name, name_of_kind(kind), what, hash,
                   2 + (job.value.data ? rows : 0) + (job.grad.data ? n : 0) + (job.hess.data ? n : 0));
        }
}

static const struct {
    const char *name;
    int n_parameters, n_wrt;
} LOSSES[] = {
#define NOTHING 0
#define INPUT 1
#define TARGET 2
#define DIFFERENCE 2
#define PARAMETER 3
#define FL_LOSS(name, n_parameters, with_respect_to, cost) {#name, n_parameters, with_respect_to},
#include "losses.def"
#undef FL_LOSS
};

/* Every operation on rows; cross_entropy with labels, with smoothing and with probabilities. */
static const struct {
    const char *name;
    int op, soft;
    double smoothing;
} ROW_OPERATIONS[] = {
    {"cross_entropy", FL_CROSS_ENTROPY, 0, 0}, {"cross_entropy_smoothed", FL_CROSS_ENTROPY, 0, 0.1},
    {"cross_entropy_soft", FL_CROSS_ENTROPY, 1, 0.1}, {"nll", FL_NLL, 0, 0}, {"softmax", FL_SOFTMAX, 0, 0},
    {"log_softmax", FL_LOG_SOFTMAX, 0, 0}, {"logsumexp", FL_LOGSUMEXP, 0, 0},
    {"softmax_focal", FL_SOFTMAX_FOCAL, 0, 0}, {"multi_margin", FL_MULTI_MARGIN, 0, 0},
    {"multi_margin_squared", FL_MULTI_MARGIN_SQUARED, 0, 0},
    {"probability_cross_entropy", FL_PROBABILITY_CROSS_ENTROPY, 0, 0}, {"softmax_grad", FL_SOFTMAX_GRAD, 0, 0},
    {"log_softmax_grad", FL_LOG_SOFTMAX_GRAD, 0, 0},
};

int main(int argc, char **argv)
{
    static const int KINDS[] = {FL_F32, FL_F64, FL_F16, FL_BF16};
    const fl_kernels *f32, *f64;
    int i = 0, runs;
    while (fl_compiled_isa(i++, &f32, &f64, &runs)) {
        if (argc < 2 || strcmp(f32->isa, argv[1]) != 0 || !runs)
            continue;
        dump = argc > 2 ? fopen(argv[2], "wb") : NULL;
        for (int k = 0; k < 4; k++) {
            const fl_kernels *kernels = KINDS[k] == FL_F64 ? f64 : f32;
            for (int loss = 0; loss < FL_N_LOSSES; loss++)
                run_pointwise(kernels, loss, LOSSES[loss].name, LOSSES[loss].n_parameters, LOSSES[loss].n_wrt,
                              KINDS[k]);
            for (unsigned r = 0; r < sizeof ROW_OPERATIONS / sizeof *ROW_OPERATIONS; r++)
                run_rows(kernels, ROW_OPERATIONS[r].op, ROW_OPERATIONS[r].name, KINDS[k], ROW_OPERATIONS[r].soft,
                         ROW_OPERATIONS[r].smoothing);
        }
        return dump ? fclose(dump) : 0;
    }
    fprintf(stderr, "usage: digest ISA [file]; this build and machine have:");
    for (i = 0; fl_compiled_isa(i, &f32, &f64, &runs); i++)
        if (runs)
            fprintf(stderr, " %s", f32->isa);
    fprintf(stderr, "\n");
    return 2;
}
