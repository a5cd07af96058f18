// SPDX-License-Identifier: GPL-2.0-only
/* What the scripts of all plots have in common. */
#include <math.h>

#include "plot.h"

void plot_begin(FILE *out, unsigned int width, unsigned int height)
{
	fprintf(out,
		"set encoding utf8\n"
		"set terminal svg size %u,%u noenhanced font 'sans-serif,14'\n"
		"set minussign\n"
		"unset key\n"
		"set border 3 linecolor rgb '" PLOT_TEXT "'\n"
		"set tics nomirror out scale 0.6 textcolor rgb '" PLOT_TEXT "'\n"
		"set xlabel textcolor rgb '" PLOT_TEXT "'\n"
		"set ylabel textcolor rgb '" PLOT_TEXT "'\n"
		"set format '%%g'\n",
		width, height);
}

/* In single quotes nothing but the quote itself means anything to gnuplot. */
static void put_quoted(FILE *out, const char *text, char doubled)
{
	fputc('\'', out);
	for (; *text; text++) {
		const unsigned char byte = (unsigned char)*text;

		if (byte == '\'' || byte == (unsigned char)doubled)
			fputc(byte, out);
		fputc(byte < 0x20 || byte == 0x7f ? ' ' : byte, out);
	}
	fputc('\'', out);
}

void plot_text(FILE *out, const char *text)
{
	put_quoted(out, text, '\'');
}

void plot_format(FILE *out, const char *text)
{
	put_quoted(out, text, '%');
}

void plot_number(FILE *out, double number)
{
	if (isfinite(number))
		fprintf(out, " %.9g", number);
	else
		fputs(" NaN", out);
}

void plot_range(FILE *out, char axis, double low, double high)
{
	if (!(high > low)) {
		low -= 1;
		high = low + 2;
	}
	fprintf(out, "set %crange [%.9g:%.9g]\n", axis, low, high);
}

double plot_step(double length)
{
	static const double steps[] = { 1, 2, 5 };
	double power;

	if (!(length > 0))
		return 1;
	power = pow(10, floor(log10(length)) - 1);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (length <= PLOT_MARKS * steps[i] * power)
			return steps[i] * power;
	return length <= PLOT_MARKS * 10 * power ? 10 * power : 20 * power;
}

void plot_band(FILE *out, double from_x, double from_y, double to_x, double to_y)
{
	fprintf(out,
		"set object rectangle from %.9g,%.9g to %.9g,%.9g behind "
		"fillcolor rgb '" PLOT_TEXT "' fillstyle transparent solid 0.22 noborder\n",
		from_x, from_y, to_x, to_y);
}
