/* Views whose rows lie closer together than the classes of one row, as those of images (N x C x H x W) do: for a tile
 * they are transposed already, and read and written class by class. (Row by row, each element was in a line of its own,
 * and where classes lie a power of two apart, these lines drove each other out of the caches: five times the time of 21
 * classes, sixteen times that of 150.) */
#ifndef FASTLOSS_COLUMNS_H
#define FASTLOSS_COLUMNS_H

#include "lines.h"
#include "row_group.h"

/* The first class of the rows of a vector of lanes of a tile, in which a class has LANES elements a unit. */
FL_INLINE fl_size tile_lanes(fl_size n_classes, int lane)
{
    return lane / LANES * LANES * n_classes + lane % LANES;
}

/* Class c of row l. */
FL_INLINE fl_size tile_entry(fl_size n_classes, int l, fl_size c) { return tile_lanes(n_classes, l) + c * LANES; }

/* The parts of a run in the tile's units. */
typedef struct {
    int n;
    struct {
        int lane, n, direct; /* direct: numbers of type T, and they fill the unit */
        fl_size start, entry; /* bytes from the first row; where class 0 is in the tile */
    } at[GROUP / LANES + 1];
} run_parts;

static FL_OUTLINE void open_run(const fl_view *view, fl_size row, int lane, int n, fl_size n_classes, column_run *r,
                                run_parts *parts)
{
    open_columns(view, row, lane, n, r);
    parts->n = 0;
    for (int l = lane, part; l < lane + r->n; l += part) {
        const int left = lane + r->n - l, unit = LANES - l % LANES;
        part = left < unit ? left : unit;
        parts->at[parts->n].lane = l;
        parts->at[parts->n].n = part;
        parts->at[parts->n].entry = tile_entry(n_classes, l, 0);
        parts->at[parts->n].direct = r->direct && part == LANES;
        parts->at[parts->n++].start = (l - lane) * r->row_step;
    }
}

/* Each class is fetched so many bytes before its turn: the processor does not foresee so many streams. (Some classes
 * ahead instead took half as long again.) */
enum { COLUMN_AHEAD = 512 };

static FL_OUTLINE void load_columns(const fl_view *view, fl_size row, int n, fl_size n_classes, int lanes, T *tile)
{
    column_run r;
    run_parts parts;
    for (int lane = 0; lane < n; lane += r.n) {
        open_run(view, row, lane, n, n_classes, &r, &parts);
        char *from = r.first;
        for (fl_size c = 0; c < n_classes; c++, from += r.class_step)
            for (int i = 0; i < parts.n; i++) {
                T *to = tile + parts.at[i].entry + c * LANES;
                char *part = from + parts.at[i].start;
                v_prefetch(part + COLUMN_AHEAD);
                if (!parts.at[i].direct)
                    read_run(view, part, r.row_step, parts.at[i].n, to);
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
static FL_OUTLINE void read_from_columns(const fl_view *view, fl_size row, int n, const int64_t *at, T *value)
{
    column_run r;
    for (int lane = 0; lane < n; lane += r.n) {
        open_columns(view, row, lane, n, &r);
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
        open_columns(view, row, lane, n, &r);
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
    run_parts parts;
    for (int lane = 0; lane < n; lane += r.n) {
        open_run(view, row, lane, n, n_classes, &r, &parts);
        char *to = r.first;
        for (fl_size c = 0; c < n_classes; c++, to += r.class_step)
            for (int i = 0; i < parts.n; i++) {
                const int in_unit = parts.at[i].lane % LANES, unit = parts.at[i].lane - in_unit;
                const T *from = tile + parts.at[i].entry - in_unit + c * LANES;
                char *part = to + parts.at[i].start;
                FL_ALIGNED T scaled[LANES];
                T *results = parts.at[i].direct ? (T *)part : scaled;
                v_prefetch_to_write(part + COLUMN_AHEAD);
                FL_UNROLL
                for (int k = 0; k < LANES; k += WIDTH)
                    v_store(results + k, v_load(from + k) * v_load(factor + unit + k));
                if (!parts.at[i].direct)
                    write_run(view, part, r.row_step, parts.at[i].n, scaled + in_unit);
            }
        if (at_top)
            replace_in_columns(view, &r, g->top, at_top);
        if (at_label)
            replace_in_columns(view, &r, g->label, at_label);
    }
}

#endif
