/* Reading and writing stretches of an array of any kind, strides, byte order and alignment, in the working type T.
 *
 * Kernels that meet a contiguous array of T use its memory as it is (view_direct). Everything else passes through
 * CHUNK elements of scratch on the stack, so no input ever costs a copy of itself. */
#ifndef FASTLOSS_VIEWS_H
#define FASTLOSS_VIEWS_H

#include "halves.h"

/* A multiple of every strip of the row kernels: a row cut into chunks is added up in the same order as a whole one. */
enum { CHUNK = 512, WORKING_KIND = PICK(FL_F32, FL_F64) };

/* An integer's bits to its value, in double. The functions of this kind are written with selections only, so that the
 * loops over them vectorise. */
FL_INLINE double number_of_bool(uint8_t b) { return b != 0; }
/* One at a time in arithmetic: there gcc makes a branch of b != 0, which is as often wrong as right. */
FL_INLINE double number_of_one_bool(uint8_t b) { return (uint8_t)(b | -b) >> 7; }
FL_INLINE double number_of_i8(uint8_t b) { return (int8_t)b; }
FL_INLINE double number_of_u8(uint8_t b) { return b; }
FL_INLINE double number_of_i16(uint16_t b) { return (int16_t)b; }
FL_INLINE double number_of_u16(uint16_t b) { return b; }
FL_INLINE double number_of_i32(uint32_t b) { return (int32_t)b; }
FL_INLINE double number_of_u32(uint32_t b) { return b; }
FL_INLINE double number_of_i64(uint64_t b) { return (double)(int64_t)b; }
FL_INLINE double number_of_u64(uint64_t b) { return (double)b; }

/* A label's bits, sign-extended; uint64 stays as it is and is told apart by comparing as unsigned. */
FL_INLINE int64_t label_of_bool(uint8_t b) { return b != 0; }
FL_INLINE int64_t label_of_i8(uint8_t b) { return (int8_t)b; }
FL_INLINE int64_t label_of_u8(uint8_t b) { return b; }
FL_INLINE int64_t label_of_i16(uint16_t b) { return (int16_t)b; }
FL_INLINE int64_t label_of_u16(uint16_t b) { return b; }
FL_INLINE int64_t label_of_i32(uint32_t b) { return (int32_t)b; }
FL_INLINE int64_t label_of_u32(uint32_t b) { return b; }
FL_INLINE int64_t label_of_i64(uint64_t b) { return (int64_t)b; }
FL_INLINE int64_t label_of_u64(uint64_t b) { return (int64_t)b; }

FL_INLINE double double_from_bits(uint64_t b)
{
    double d;
    memcpy(&d, &b, sizeof d);
    return d;
}

FL_INLINE T value_of_bf16(uint16_t b) { return (T)float_from_bits((uint32_t)b << 16); }
FL_INLINE T value_of_f32(uint32_t b) { return (T)float_from_bits(b); }
FL_INLINE T value_of_f64(uint64_t b) { return (T)double_from_bits(b); }
FL_INLINE double number_of_f16(uint16_t b) { return float_of_f16(b); }
FL_INLINE double number_of_bf16(uint16_t b) { return float_from_bits((uint32_t)b << 16); }
FL_INLINE double number_of_f32(uint32_t b) { return float_from_bits(b); }
FL_INLINE double number_of_f64(uint64_t b) { return double_from_bits(b); }

/* A value to one element's bits, rounded to nearest, ties to even. */
FL_INLINE uint16_t bf16_of_value(T value)
{
    uint32_t bits = bits_of_float((float)value);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}

FL_INLINE uint32_t f32_of_value(T value) { return bits_of_float((float)value); }
FL_INLINE uint64_t f64_of_value(T value)
{
    double d = (double)value;
    uint64_t b;
    memcpy(&b, &d, sizeof b);
    return b;
}

FL_INLINE uint8_t swapped8(uint8_t b) { return b; }
FL_INLINE uint16_t swapped16(uint16_t b) { return (uint16_t)(b << 8 | b >> 8); }
FL_INLINE uint32_t swapped32(uint32_t b)
{
    return (uint32_t)swapped16((uint16_t)b) << 16 | swapped16((uint16_t)(b >> 16));
}
FL_INLINE uint64_t swapped64(uint64_t b)
{
    return (uint64_t)swapped32((uint32_t)b) << 32 | swapped32((uint32_t)(b >> 32));
}

/* n elements, stride bytes apart; the contiguous case is spelled out because only it vectorises. (Nor should the
 * other: the compiler's gathers took nearly twice the time, and 26 kB of the wheel.) */
#define DEFINE_READ(function, value_of, value_of_one, out, width)                                \
    static void function(const char *p, fl_size stride, int swap, fl_size n, out *to)            \
    {                                                                                            \
        uint##width##_t b;                                                                       \
        if (stride == (fl_size)sizeof b && !swap)                                                \
            for (fl_size i = 0; i < n; i++) {                                                    \
                memcpy(&b, p + i * (fl_size)sizeof b, sizeof b);                                 \
                to[i] = value_of(b);                                                             \
            }                                                                                    \
        else                                                                                     \
            for (fl_size i = 0; i < n; i++, p += stride) {                                       \
                FL_KEEP_ONE_LOOP(p);                                                             \
                memcpy(&b, p, sizeof b);                                                         \
                to[i] = value_of_one(swap ? swapped##width(b) : b);                              \
            }                                                                                    \
    }

#define DEFINE_WRITE(name, kind, width)                                                          \
    static void write_##name(char *p, fl_size stride, int swap, fl_size n, const T *from)        \
    {                                                                                            \
        uint##width##_t b;                                                                       \
        if (stride == (fl_size)sizeof b && !swap)                                                \
            for (fl_size i = 0; i < n; i++) {                                                    \
                b = name##_of_value(from[i]);                                                    \
                memcpy(p + i * (fl_size)sizeof b, &b, sizeof b);                                 \
            }                                                                                    \
        else                                                                                     \
            for (fl_size i = 0; i < n; i++) {                                                    \
                b = name##_of_value(from[i]);                                                    \
                b = swap ? swapped##width(b) : b;                                                \
                FL_KEEP_ONE_LOOP(p);                                                             \
                memcpy(p, &b, sizeof b);                                                         \
                p += stride;                                                                     \
            }                                                                                    \
    }

#define NUMBER_KINDS(X)                                                   \
    X(i8, FL_I8, 8) X(u8, FL_U8, 8) X(i16, FL_I16, 16) X(u16, FL_U16, 16) \
    X(i32, FL_I32, 32) X(u32, FL_U32, 32) X(i64, FL_I64, 64) X(u64, FL_U64, 64)
#define INTEGER_KINDS(X) X(bool, FL_BOOL, 8) NUMBER_KINDS(X)
#define HALF_KIND(X) X(f16, FL_F16, 16)
#define OTHER_FLOATING_KINDS(X) X(bf16, FL_BF16, 16) X(f32, FL_F32, 32) X(f64, FL_F64, 64)
#define FLOATING_KINDS(X) HALF_KIND(X) OTHER_FLOATING_KINDS(X)

#define DEFINE_SAME(function, value_of, out, width) DEFINE_READ(function, value_of, value_of, out, width)
#define DEFINE_READ_INTEGER(name, kind, width) DEFINE_SAME(read_##name, number_of_##name, T, width)
#define DEFINE_READ_VALUE(name, kind, width) DEFINE_SAME(read_##name, value_of_##name, T, width)
#define DEFINE_READ_NUMBER(name, kind, width) DEFINE_SAME(number_##name, number_of_##name, double, width)
#define DEFINE_READ_LABEL(name, kind, width) DEFINE_SAME(label_##name, label_of_##name, int64_t, width)
DEFINE_READ(read_bool, number_of_bool, number_of_one_bool, T, 8)
NUMBER_KINDS(DEFINE_READ_INTEGER)
OTHER_FLOATING_KINDS(DEFINE_READ_VALUE)
#if !FL_DOUBLE /* else they are what is read */
DEFINE_READ(number_bool, number_of_bool, number_of_one_bool, double, 8)
NUMBER_KINDS(DEFINE_READ_NUMBER)
FLOATING_KINDS(DEFINE_READ_NUMBER)
#endif
INTEGER_KINDS(DEFINE_READ_LABEL)
OTHER_FLOATING_KINDS(DEFINE_WRITE)

#if FL_CONVERTS_HALVES
/* What is not contiguous is brought together first: one conversion for any layout. */
static void read_f16(const char *p, fl_size stride, int swap, fl_size n, T *to)
{
    uint16_t halves[CHUNK];
    if (stride == 2 && !swap) {
        halves_to_floats(p, n, to);
        return;
    }
    for (fl_size start = 0; start < n; start += CHUNK) {
        const fl_size count = n - start < CHUNK ? n - start : CHUNK;
        for (fl_size i = 0; i < count; i++) {
            uint16_t b;
            memcpy(&b, p + (start + i) * stride, sizeof b);
            halves[i] = swap ? swapped16(b) : b;
        }
        halves_to_floats((const char *)halves, count, to + start);
    }
}

static void write_f16(char *p, fl_size stride, int swap, fl_size n, const T *from)
{
    uint16_t halves[CHUNK];
    if (stride == 2 && !swap) {
        floats_to_halves(from, n, p);
        return;
    }
    for (fl_size start = 0; start < n; start += CHUNK) {
        const fl_size count = n - start < CHUNK ? n - start : CHUNK;
        floats_to_halves(from + start, count, (char *)halves);
        for (fl_size i = 0; i < count; i++) {
            uint16_t b = swap ? swapped16(halves[i]) : halves[i];
            memcpy(p + (start + i) * stride, &b, sizeof b);
        }
    }
}
#else
HALF_KIND(DEFINE_READ_VALUE)
HALF_KIND(DEFINE_WRITE)
#endif

/* What to do with n elements that lie evenly spaced; `buffer` is their contiguous side. */
typedef void run_function(const fl_view *view, char *p, fl_size stride, fl_size n, void *buffer);

#define CASE_READ(name, kind, width)                                \
    case kind:                                                      \
        read_##name(p, stride, view->swapped, n, (T *)buffer);      \
        break;
#define CASE_NUMBER(name, kind, width)                              \
    case kind:                                                      \
        number_##name(p, stride, view->swapped, n, (double *)buffer); \
        break;
#define CASE_LABEL(name, kind, width)                               \
    case kind:                                                      \
        label_##name(p, stride, view->swapped, n, (int64_t *)buffer); \
        break;
#define CASE_WRITE(name, kind, width)                               \
    case kind:                                                      \
        write_##name(p, stride, view->swapped, n, (const T *)buffer); \
        break;

static FL_OUTLINE void read_run(const fl_view *view, char *p, fl_size stride, fl_size n, void *buffer)
{
    switch (view->kind) {
        INTEGER_KINDS(CASE_READ)
        FLOATING_KINDS(CASE_READ)
    }
}

#if FL_DOUBLE
#define number_run read_run
#else
static FL_OUTLINE void number_run(const fl_view *view, char *p, fl_size stride, fl_size n, void *buffer)
{
    switch (view->kind) {
        INTEGER_KINDS(CASE_NUMBER)
        FLOATING_KINDS(CASE_NUMBER)
    }
}
#endif

static void label_run(const fl_view *view, char *p, fl_size stride, fl_size n, void *buffer)
{
    switch (view->kind) {
        INTEGER_KINDS(CASE_LABEL)
    }
}

static FL_OUTLINE void write_run(const fl_view *view, char *p, fl_size stride, fl_size n, void *buffer)
{
    switch (view->kind) {
        FLOATING_KINDS(CASE_WRITE)
    }
}

/* Applies `run` to the stretch [start, start + n), one run along the last dimension after the other. */
FL_INLINE void view_walk(const fl_view *view, fl_size start, fl_size n, run_function *run, char *buffer, fl_size item)
{
    const int last = view->ndim - 1;
    if (last < 0) {
        run(view, view->data, 0, n, buffer);
        return;
    }
    fl_size index[FL_MAX_DIMS];
    char *p = view->data;
    for (int d = last; d >= 0; d--) {
        index[d] = d > 0 ? start % view->shape[d] : start;
        start = d > 0 ? start / view->shape[d] : 0;
        p += index[d] * view->strides[d];
    }
    for (;;) {
        fl_size left = view->shape[last] - index[last], length = left < n ? left : n;
        run(view, p, view->strides[last], length, buffer);
        n -= length;
        if (n == 0)
            return;
        buffer += length * item;
        index[last] += length;
        p += length * view->strides[last];
        for (int d = last; d > 0 && index[d] == view->shape[d]; d--) {
            p += view->strides[d - 1] - view->shape[d] * view->strides[d];
            index[d] = 0;
            index[d - 1]++;
        }
    }
}

/* Each of n numbers `times` times, some at a time where there is room for `room` of them. */
#define DEFINE_REPEAT(type)                                                                                 \
    FL_INLINE void repeat_##type(type *to, const type *numbers, fl_size n, fl_size times, fl_size room)     \
    {                                                                                                       \
        enum { STEP = 32 / (int)sizeof(type) };                                                             \
        for (fl_size i = 0; i < n; i++, to += times, room -= times)                                         \
            if (times + STEP <= room)                                                                       \
                for (fl_size k = 0; k < times; k += STEP) {                                                 \
                    FL_KEEP_ONE_LOOP(k);                                                                    \
                    for (int l = 0; l < STEP; l++)                                                          \
                        to[k + l] = numbers[i];                                                             \
                }                                                                                           \
            else                                                                                            \
                for (fl_size k = 0; k < times; k++) {                                                       \
                    FL_KEEP_ONE_LOOP(k);                                                                    \
                    to[k] = numbers[i];                                                                     \
                }                                                                                           \
    }
DEFINE_REPEAT(double)
DEFINE_REPEAT(float)

/* What lies in two dimensions and is broadcast along one, as a weight for each row or for each column: read once, and
 * repeated. (Row by row, mse_loss with a weight for each of 10 columns took three times as long.) Returns 0 for all
 * else. */
static FL_OUTLINE int read_repeated(const fl_view *view, fl_size start, fl_size n, run_function *run, char *buffer,
                                    fl_size item)
{
    enum { ROWS = 64 };
    union {
        double wide[ROWS];
        float narrow[ROWS];
    } numbers;
    if (view->ndim != 2 || (view->strides[1] != 0 && (view->strides[0] != 0 || n <= view->shape[1])))
        return 0;
    const fl_size length = view->shape[1];
    if (view->strides[1] != 0) {
        view_walk(view, start, length, run, buffer, item);
        for (fl_size done = length; done < n; done *= 2)
            memcpy(buffer + done * item, buffer, (size_t)((done < n - done ? done : n - done) * item));
        return 1;
    }
    fl_size row = start / length, skipped = start % length;
    for (fl_size done = 0, times, rows; done < n; done += rows * times, row += rows, skipped = 0) {
        const fl_size left = n - done;
        times = length - skipped < left ? length - skipped : left;
        rows = times < length ? 1 : left / length; /* whole ones, but for the first and the last */
        rows = rows < ROWS ? rows : ROWS;
        run(view, view->data + row * view->strides[0], view->strides[0], rows, &numbers);
        if (item == sizeof(double))
            repeat_double((double *)buffer + done, numbers.wide, rows, times, left);
        else
            repeat_float((float *)buffer + done, numbers.narrow, rows, times, left);
    }
    return 1;
}

/* What is wide and contiguous is fetched ahead: 4 million int64 take a quarter less time that way, and float16, which
 * is short already, would take a third more. */
static void view_read(const fl_view *view, fl_size start, fl_size n, T *to)
{
    enum { STEP = 128, AHEAD = 8192 };
    const fl_size stride = view->ndim == 1 ? view->strides[0] : 0;
    if (n < STEP || (stride != 4 && stride != 8)) {
        if (!read_repeated(view, start, n, read_run, (char *)to, sizeof(T)))
            view_walk(view, start, n, read_run, (char *)to, sizeof(T));
        return;
    }
    for (fl_size i = 0; i < n; i += STEP) {
        char *p = view->data + (start + i) * stride;
        for (fl_size b = 0; b < STEP * stride; b += 64)
            v_prefetch(p + AHEAD + b);
        read_run(view, p, stride, n - i < STEP ? n - i : STEP, to + i);
    }
}

/* In double whatever T is: weights, and whatever is compared with a bound. */
static void view_read_numbers(const fl_view *view, fl_size start, fl_size n, double *to)
{
    if (!read_repeated(view, start, n, number_run, (char *)to, sizeof(double)))
        view_walk(view, start, n, number_run, (char *)to, sizeof(double));
}

static void view_read_labels(const fl_view *view, fl_size start, fl_size n, int64_t *to)
{
    view_walk(view, start, n, label_run, (char *)to, sizeof(int64_t));
}

static void view_write(const fl_view *view, fl_size start, fl_size n, const T *from)
{
    view_walk(view, start, n, write_run, (char *)from, sizeof(T));
}

/* The view's own memory if it is contiguous, aligned and of type T; else NULL. */
FL_INLINE T *view_direct(const fl_view *view)
{
    int contiguous = view->ndim == 0 || (view->ndim == 1 && view->strides[0] == (fl_size)sizeof(T));
    int usable = contiguous && view->kind == WORKING_KIND && !view->swapped && (uintptr_t)view->data % sizeof(T) == 0;
    return usable ? (T *)view->data : NULL;
}

/* The same for numbers in double. */
FL_INLINE const double *view_doubles(const fl_view *view)
{
    int contiguous = view->ndim == 0 || (view->ndim == 1 && view->strides[0] == (fl_size)sizeof(double));
    int usable = contiguous && view->kind == FL_F64 && !view->swapped && (uintptr_t)view->data % sizeof(double) == 0;
    return usable ? (const double *)view->data : NULL;
}

/* The same for float16, of any alignment. */
FL_INLINE char *view_halves(const fl_view *view)
{
    return view->kind == FL_F16 && !view->swapped && view->ndim == 1 && view->strides[0] == 2 ? view->data : NULL;
}

FL_INLINE T view_at(const fl_view *view, fl_size i)
{
    T value;
    view_read(view, i, 1, &value);
    return value;
}

static fl_size first_negative(const fl_view *view, fl_size n)
{
    double values[CHUNK];
    for (fl_size start = 0; start < n; start += CHUNK) {
        fl_size count = n - start < CHUNK ? n - start : CHUNK;
        view_read_numbers(view, start, count, values);
        for (fl_size i = 0; i < count; i++)
            if (!(values[i] >= 0))
                return start + i;
    }
    return -1;
}

#endif
