/* Views whose rows lie closer together than what is in a row (fl_lies_in_columns): images, arrays in Fortran order,
 * classes along the first axis. Element by element in C order, each would be in a line of memory of its own, and be
 * fetched again for its neighbours; so whole lines, of LANES rows, are transposed between memory and a stage, which
 * holds the rows one after the other. */
#ifndef FASTLOSS_LINES_H
#define FASTLOSS_LINES_H

#include "quads.h"
#include "views.h"

/* Of some rows those that lie evenly spaced, from `lane` on. */
typedef struct {
    char *first; /* class 0 of the first */
    fl_size row_step, class_step;
    int lane, n;
    int direct; /* numbers of type T, side by side; */
    int halves; /* the same of float16, where the processor converts it */
} column_run;

/* The rows are numbered from `row` on; n is how many they are. */
static FL_OUTLINE void open_columns(const fl_view *view, fl_size row, int lane, int n, column_run *r)
{
    const int last = view->ndim - 1;
    fl_size index = row + lane;
    *r = (column_run){.first = view->data, .row_step = view->strides[last - 1], .class_step = view->strides[last],
                      .lane = lane, .n = n - lane};
    for (int d = last - 1; d >= 0; d--) {
        const fl_size at = d > 0 ? index % view->shape[d] : index;
        if (d == last - 1 && view->shape[d] - at < r->n)
            r->n = (int)(view->shape[d] - at);
        index = d > 0 ? index / view->shape[d] : 0;
        r->first += at * view->strides[d];
    }
    r->direct = view->kind == WORKING_KIND && !view->swapped && r->row_step == (fl_size)sizeof(T) &&
                r->class_step % (fl_size)sizeof(T) == 0 && (uintptr_t)r->first % sizeof(T) == 0;
    r->halves = FL_CONVERTS_HALVES && view->kind == FL_F16 && !view->swapped && r->row_step == 2;
}

/* Classes [c, c + n) of rows [first, last), LANES of them at most, which lie `step` elements apart on a stage. Of each
 * class what lies `ahead` bytes further on is fetched as well. */
typedef struct {
    int first, last;
    fl_size c, n, step, ahead;
} column_piece;

/* QUAD classes, from p on, of LANES rows side by side, of float16 or of type T, to or from a stage. */
FL_INLINE void transpose_lines(char *p, fl_size class_step, int halves, const column_piece *piece, T *stage,
                               int to_stage)
{
    const fl_size step = piece->step;
    STRIP_LOOP
    for (int lane = 0; lane < LANES; lane += WIDTH) {
        vf quad[QUAD];
        FL_UNROLL
        for (int i = 0; i < QUAD; i++) {
            if (to_stage && lane == 0)
                v_prefetch(p + i * class_step + piece->ahead);
            quad[i] = to_stage ? v_load_classes(p + i * class_step, halves, lane, WIDTH, v_set(0))
                               : v_load_quads(stage + (lane + i) * step, QUAD * step);
        }
        v_transpose_quads(quad);
        FL_UNROLL
        for (int i = 0; i < QUAD; i++)
            if (to_stage)
                v_store_quads(stage + (lane + i) * step, QUAD * step, quad[i]);
            else
                v_store_classes(p + i * class_step, halves, lane, WIDTH, quad[i]);
    }
}

/* QUAD classes from p on, by way of `lines` if they are to be converted. */
FL_INLINE void move_quad(const fl_view *view, const column_run *r, char *p, int halves, int converts,
                         const column_piece *piece, T *stage, int to_stage)
{
    T lines[QUAD][LANES];
    for (int i = 0; i < QUAD && converts && to_stage; i++)
        read_run(view, p + i * r->class_step, r->row_step, LANES, lines[i]);
    transpose_lines(converts ? (char *)lines : p, converts ? (fl_size)sizeof lines[0] : r->class_step, halves, piece,
                    stage, to_stage);
    for (int i = 0; i < QUAD && converts && !to_stage; i++)
        write_run(view, p + i * r->class_step, r->row_step, LANES, lines[i]);
}

/* QUAD or more classes of LANES rows; the last quad overlaps the one before. */
FL_INLINE void move_quads(const fl_view *view, const column_run *r, char *p, int halves, int converts,
                          const column_piece *piece, T *stage, int to_stage)
{
    for (fl_size c = 0; c < piece->n; c += QUAD) {
        const fl_size k = c + QUAD <= piece->n ? c : piece->n - QUAD;
        move_quad(view, r, p + k * r->class_step, halves, converts, piece, stage + k, to_stage);
    }
}

/* One class of the rows of a run. */
FL_INLINE void move_class(const fl_view *view, const column_run *r, char *p, fl_size step, T *stage, int to_stage)
{
    T line[LANES], *numbers = r->direct ? (T *)p : line;
    const int n = r->n;
    if (to_stage && !r->direct)
        read_run(view, p, r->row_step, n, line);
    for (int l = 0; l < n; l++, stage += step)
        if (to_stage)
            *stage = numbers[l];
        else
            numbers[l] = *stage;
    if (!to_stage && !r->direct)
        write_run(view, p, r->row_step, n, line);
}

FL_INLINE void move_piece(const fl_view *view, fl_size row, const column_piece *piece, T *stage, int to_stage)
{
    column_run r;
    for (int lane = piece->first; lane < piece->last; lane += r.n) {
        open_columns(view, row, lane, piece->last, &r);
        T *rows = stage + (lane - piece->first) * piece->step;
        char *p = r.first + piece->c * r.class_step;
        if (r.n < LANES || piece->n < QUAD)
            for (fl_size k = 0; k < piece->n; k++)
                move_class(view, &r, p + k * r.class_step, piece->step, rows + k, to_stage);
        else if (r.direct)
            move_quads(view, &r, p, 0, 0, piece, rows, to_stage);
        else if (FL_CONVERTS_HALVES && r.halves)
            move_quads(view, &r, p, 1, 0, piece, rows, to_stage);
        else
            move_quads(view, &r, p, 0, 1, piece, rows, to_stage);
    }
}

/* A piece of the rows from `row` on, to or from a stage. */
static FL_OUTLINE void read_piece(const fl_view *view, fl_size row, const column_piece *piece, T *stage)
{
    move_piece(view, row, piece, stage, 1);
}

static FL_OUTLINE void write_piece(const fl_view *view, fl_size row, const column_piece *piece, T *stage)
{
    move_piece(view, row, piece, stage, 0);
}

#endif
