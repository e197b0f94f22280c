/* Views whose rows lie closer together than the classes of one row, as those of images (N x C x H x W) do: for a tile
 * they are transposed already, and read and written class by class. (Row by row, each element was in a line of its own,
 * and where classes lie a power of two apart, these lines drove each other out of the caches: five times the time of 21
 * classes, sixteen times that of 150.) */
#ifndef FASTLOSS_COLUMNS_H
#define FASTLOSS_COLUMNS_H

#include "row_group.h"

/* The first class of the rows of a vector of lanes of a tile, in which a class has LANES elements a unit. */
FL_INLINE fl_size tile_lanes(fl_size n_classes, int lane)
{
    return lane / LANES * LANES * n_classes + lane % LANES;
}

/* Class c of row l. */
FL_INLINE fl_size tile_entry(fl_size n_classes, int l, fl_size c) { return tile_lanes(n_classes, l) + c * LANES; }

/* Of the rows of a group those that lie evenly spaced, from lane `lane` on, and their parts in the tile's units. */
typedef struct {
    char *first; /* class 0 of the first */
    fl_size row_step, class_step;
    int lane, n, n_parts;
    int direct; /* numbers of type T, side by side; */
    int halves; /* the same of float16, where the processor converts it */
    struct {
        int lane, n, direct; /* direct: and they fill the unit */
        fl_size start, entry; /* bytes from the first row; where class 0 is in the tile */
    } parts[GROUP / LANES + 1];
} column_run;

/* From `lane` on; n is how many rows the group has. */
static FL_OUTLINE void open_columns(const fl_view *view, fl_size row, int lane, int n, fl_size n_classes, column_run *r)
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
    for (int l = lane, part; l < lane + r->n; l += part) {
        const int left = lane + r->n - l, unit = LANES - l % LANES;
        part = left < unit ? left : unit;
        r->parts[r->n_parts].lane = l;
        r->parts[r->n_parts].n = part;
        r->parts[r->n_parts].entry = tile_entry(n_classes, l, 0);
        r->parts[r->n_parts].direct = r->direct && part == LANES;
        r->parts[r->n_parts++].start = (l - lane) * r->row_step;
    }
}

/* Each class is fetched so many bytes before its turn: the processor does not foresee so many streams. (Some classes
 * ahead instead took half as long again.) */
enum { COLUMN_AHEAD = 512 };

static FL_OUTLINE void load_columns(const fl_view *view, fl_size row, int n, fl_size n_classes, int lanes, T *tile)
{
    column_run r;
    for (int lane = 0; lane < n; lane += r.n) {
        open_columns(view, row, lane, n, n_classes, &r);
        char *from = r.first;
        for (fl_size c = 0; c < n_classes; c++, from += r.class_step)
            for (int i = 0; i < r.n_parts; i++) {
                T *to = tile + r.parts[i].entry + c * LANES;
                char *part = from + r.parts[i].start;
                v_prefetch(part + COLUMN_AHEAD);
                if (!r.parts[i].direct)
                    read_run(view, part, r.row_step, r.parts[i].n, to);
                else
                    FL_UNROLL
                    for (int k = 0; k < LANES; k += WIDTH)
                        v_store(to + k, v_load((const T *)part + k));
            }
    }
    for (int l = n; l < lanes; l++)
        for (fl_size c = 0; c < n_classes; c++)
            tile[tile_entry(n_classes, l, c)] = 0;
}

/* One class of each row of a run, where `at` is not negative. */
static void replace_in_columns(const fl_view *view, const column_run *r, const int64_t *at, const T *value)
{
    char *row = r->first;
    for (int l = r->lane; l < r->lane + r->n; l++, row += r->row_step) {
        T one = value[l];
        if (at[l] < 0)
            continue;
        if (r->direct)
            *(volatile T *)(row + at[l] * r->class_step) = one; /* see replace_classes */
        else
            write_run(view, row + at[l] * r->class_step, r->row_step, 1, &one);
    }
}

/* One class of each row of a group. */
static FL_OUTLINE void read_from_columns(const fl_view *view, fl_size row, int n, fl_size n_classes, const int64_t *at,
                                         T *value)
{
    column_run r;
    for (int lane = 0; lane < n; lane += r.n) {
        open_columns(view, row, lane, n, n_classes, &r);
        for (int l = lane; l < lane + r.n; l++)
            if (at[l] >= 0)
                read_run(view, r.first + (l - lane) * r.row_step + at[l] * r.class_step, r.row_step, 1, value + l);
    }
}

/* The same the other way, and 0 for the other classes. */
static FL_OUTLINE void write_to_columns(const fl_view *view, fl_size row, int n, fl_size n_classes, const int64_t *at,
                                        const T *value)
{
    T zeros[GROUP] = {0};
    column_run r;
    for (int lane = 0; lane < n; lane += r.n) {
        open_columns(view, row, lane, n, n_classes, &r);
        for (fl_size c = 0; c < n_classes; c++) {
            v_prefetch_to_write(r.first + c * r.class_step + COLUMN_AHEAD);
            write_run(view, r.first + c * r.class_step, r.row_step, r.n, zeros);
        }
        replace_in_columns(view, &r, at, value);
    }
}

/* Arguments as those of store_tile. */
static FL_OUTLINE void store_columns(const fl_view *view, fl_size row, int n, const row_group *g, fl_size n_classes,
                                     const T *tile, const T *factor, const T *at_top, const T *at_label)
{
    column_run r;
    for (int lane = 0; lane < n; lane += r.n) {
        open_columns(view, row, lane, n, n_classes, &r);
        char *to = r.first;
        for (fl_size c = 0; c < n_classes; c++, to += r.class_step)
            for (int i = 0; i < r.n_parts; i++) {
                const int in_unit = r.parts[i].lane % LANES, unit = r.parts[i].lane - in_unit;
                const T *from = tile + r.parts[i].entry - in_unit + c * LANES;
                char *part = to + r.parts[i].start;
                FL_ALIGNED T scaled[LANES];
                T *results = r.parts[i].direct ? (T *)part : scaled;
                v_prefetch_to_write(part + COLUMN_AHEAD);
                FL_UNROLL
                for (int k = 0; k < LANES; k += WIDTH)
                    v_store(results + k, v_load(from + k) * v_load(factor + unit + k));
                if (!r.parts[i].direct)
                    write_run(view, part, r.row_step, r.parts[i].n, scaled + in_unit);
            }
        if (at_top)
            replace_in_columns(view, &r, g->top, at_top);
        if (at_label)
            replace_in_columns(view, &r, g->label, at_label);
    }
}

#endif
