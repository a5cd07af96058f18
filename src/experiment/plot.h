/* SPDX-License-Identifier: GPL-2.0-only */
/* Plots by gnuplot, as SVG for a page of HTML. */
#ifndef SLUICE_PLOT_H
#define SLUICE_PLOT_H

#include <stddef.h>
#include <stdio.h>

#include "sluice/experiment.h"

/*
 * Runs gnuplot with @script; what it prints is the caller's to free. 0; -ENOENT: it is not
 * there, with what to install; -ETIMEDOUT after PLOT_SECONDS; -EIO with gnuplot's own words; another
 * -errno. *ret is written on success only.
 */
#define PLOT_SECONDS 60
int plot_run(const char *script, size_t size, char **ret, struct errmsg *err);

/*
 * Writes the <svg> of gnuplot's document for use inside a page: ids begin with @name, so that
 * no two plots share one; @title (already HTML) is read out in its place. -EBADMSG: there is none.
 */
int plot_embed(FILE *out, const char *svg, const char *name, const char *title);

/* One of the plots of a page. */
struct plot {
	const char *name; /* of its ids: letters only */
	const char *title;
	const char *class; /* of the page's styles: "wide", "side"; "" */
	/* Why it can't be drawn, as a sentence; NULL: it can. */
	const char *(*missing)(const struct ab_experiment *experiment,
			       const struct ab_result *result);
	void (*script)(const struct ab_experiment *experiment, const struct ab_result *result,
		       FILE *out);
	/* What it shows, as plain text. */
	void (*caption)(const struct ab_experiment *experiment, const struct ab_result *result,
			FILE *out);
};

extern const struct plot plot_differences, plot_timeline, plot_intervals, plot_lifetimes;

/*
 * Colours that differ for the colour-blind too (Okabe and Ito 2008, and a purple), and stand out
 * from white and from black.
 */
#define PLOT_A	  "#0072B2"
#define PLOT_B	  "#D55E00"
#define PLOT_HOST "#009E73"
#define PLOT_FREE "#9B59B6"
/* Readable on white and on black; as it is in SVG, for a style sheet to take another. */
#define PLOT_TEXT     "#767676"
#define PLOT_TEXT_SVG "rgb(118,118,118)"

/* --- parts of scripts ---------------------------------------------------------------------------- */

/*
 * Terminal, colours, no key: what all plots have in common. Size in pixels, of which a
 * letter takes 14; a plot is scaled to half a page, or to a telephone.
 */
#define PLOT_WIDTH 480
void plot_begin(FILE *out, unsigned int width, unsigned int height);

/* A text of a user's as a string of gnuplot's. */
void plot_text(FILE *out, const char *text);
/* The same where gnuplot expects a format. */
void plot_format(FILE *out, const char *text);

/* A number as gnuplot reads it, blank in front. */
void plot_number(FILE *out, double number);

/* "set <axis>range [low:high]", never empty. */
void plot_range(FILE *out, char axis, double low, double high);

/* Between two marks of an axis of that length, a round number; at most PLOT_MARKS of them fit. */
#define PLOT_MARKS 5
double plot_step(double length);

/* A shaded rectangle behind all the rest, in the units of the axes. */
void plot_band(FILE *out, double from_x, double from_y, double to_x, double to_y);

#endif
