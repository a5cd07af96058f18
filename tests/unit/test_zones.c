// SPDX-License-Identifier: GPL-2.0-only
/* Zones from /proc/buddyinfo and /proc/zoneinfo, as three kernels print them and as none does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "sluice/topology.h"

#define FIXTURES  SOURCE_DIR "/tests/unit/fixtures/observe/"
#define BUDDYINFO "proc/buddyinfo"
#define ZONEINFO  "proc/zoneinfo"
#define LARGEST	  "17592186044415" /* UINT64_MAX >> 20: what is taken for a number of pages */
#define TOO_LARGE "17592186044416"

static struct fixture tree;

static int setup(void **state)
{
	(void)state;
	fixture_open(&tree);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&tree);
	return 0;
}

/* Copies a file of a recorded kernel to proc/; returns its text for the caller to free. */
static char *copy_file(const char *version, const char *name)
{
	char source[256], path[64];
	char *text;

	snprintf(source, sizeof(source), FIXTURES "%s/%s", version, name);
	snprintf(path, sizeof(path), "proc/%s", name);
	text = fixture_slurp(source);
	fixture_put(&tree, path, text);
	return text;
}

/* Zones as text, one line each. */
static char *describe(const struct sluice_zone_info *zones, unsigned int nr)
{
	static char text[8192];
	size_t used = 0;

	for (unsigned int i = 0; i < nr; i++) {
		const struct sluice_zone_info *zone = &zones[i];

		used += (size_t)snprintf(
			text + used, sizeof(text) - used,
			"%u %s: pfn %" PRIu64 "+%" PRIu64 " present %" PRIu64 " managed %" PRIu64
			" free %" PRIu64 " low %" PRIu64 " highatomic %" PRIu64 ":",
			zone->node, zone->name, zone->start_pfn, zone->spanned_pages,
			zone->present_pages, zone->managed_pages, zone->free_pages, zone->low_wmark,
			zone->reserved_highatomic);
		for (unsigned int o = 0; o < zone->nr_orders; o++)
			used += (size_t)snprintf(text + used, sizeof(text) - used, " %" PRIu64,
						 zone->nr_free[o]);
		used += (size_t)snprintf(text + used, sizeof(text) - used, "\n");
		assert_true(used < sizeof(text));
	}
	return text;
}

/* --- what three versions print ---------------------------------------------------------------- */

static const struct version {
	const char *name;
	unsigned int nr;
	const char *zones;
} versions[] = {
	/* no boost, no cma; two nodes; zones that are not populated */
	{ "5.10", 4,
	  "0 DMA: pfn 1+4095 present 3999 managed 3977 free 3963 low 41 highatomic 0:"
	  " 1 1 0 1 1 1 1 0 1 1 3\n"
	  "0 DMA32: pfn 4096+1044480 present 520160 managed 497392 free 483274 low 5163"
	  " highatomic 0: 4 3 2 1 3 2 3 1 2 2 470\n"
	  "0 Normal: pfn 1048576+524288 present 524288 managed 512901 free 388756 low 5375"
	  " highatomic 0: 211 190 88 41 20 9 4 2 1 0 377\n"
	  "1 Normal: pfn 1572864+1048576 present 1048576 managed 1032194 free 936877 low 10831"
	  " highatomic 0: 1027 733 402 200 91 40 17 9 4 3 902\n" },
	/* with boost, which "low" contains; a zone that ends inside a pageblock */
	{ "6.1", 2,
	  "0 DMA: pfn 1+4095 present 3998 managed 3840 free 3840 low 108 highatomic 0:"
	  " 0 0 0 0 0 0 0 0 1 1 3\n"
	  "0 DMA32: pfn 4096+520159 present 520159 managed 497142 free 433436 low 13821"
	  " highatomic 0: 611 402 187 94 51 33 12 7 4 2 415\n" },
	/* with promo, nr_free_pages_blocks, high_min and high_max; a guest with virtio-mem */
	{ "6.18", 3,
	  "0 DMA: pfn 1+4095 present 3998 managed 3840 free 3840 low 58 highatomic 0:"
	  " 0 0 0 0 0 0 0 0 1 1 3\n"
	  "0 DMA32: pfn 4096+1044480 present 782336 managed 772917 free 772917 low 11945"
	  " highatomic 0: 1 2 4 2 5 4 3 3 4 2 752\n"
	  "0 Normal: pfn 1048576+5505024 present 5505024 managed 589824 free 133485 low 9115"
	  " highatomic 0: 631 1504 855 861 437 151 431 120 23 5 55\n" },
};

static void test_versions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		struct sluice_zone_info zones[SLUICE_MAX_ZONES];
		struct errmsg err = { "" };
		unsigned int nr = 0;

		free(copy_file(versions[i].name, "buddyinfo"));
		free(copy_file(versions[i].name, "zoneinfo"));
		if (zones_read_text(tree.root, zones, &nr, &err))
			fail_msg("%s: %s", versions[i].name, err.text);
		assert_int_equal(nr, versions[i].nr);
		assert_string_equal(describe(zones, nr), versions[i].zones);
		for (unsigned int z = 0; z < nr; z++)
			for (unsigned int o = zones[z].nr_orders; o < SLUICE_MAX_ORDERS; o++)
				assert_int_equal(zones[z].nr_free[o], 0);
	}
}

/* --- single values ---------------------------------------------------------------------------- */

static const char one_zone[] = "Node 0, zone   Normal      1      2      3 \n";
#define ZONE_TITLE "Node 0, zone   Normal\n"
#define ZONE_LINES                                                       \
	"  pages free     90\n        boost    0\n        min      3\n"  \
	"        low      5\n        high     7\n        spanned  200\n" \
	"        present  100\n        managed  95\n"
#define ZONE_START "  start_pfn:           64\n"
#define HUGE_LINES                                                           \
	"  pages free     90\n        low      5\n        spanned  " LARGEST \
	"\n        present  100\n        managed  95\n"
#define GOOD_ZONE "0 Normal: pfn 64+200 present 100 managed 95 free 90 low 5 highatomic 0: 1 2 3\n"

/* Reads both files; on failure the zones must not have been touched. */
static int read_both(const char *buddyinfo, const char *zoneinfo, char **zones_text,
		     struct errmsg *err)
{
	struct sluice_zone_info zones[SLUICE_MAX_ZONES], untouched;
	unsigned int nr = 12345;
	int rc;

	memset(zones, 0x5a, sizeof(zones));
	memset(&untouched, 0x5a, sizeof(untouched));
	*err = (struct errmsg){ "" };
	if (buddyinfo)
		fixture_put(&tree, BUDDYINFO, buddyinfo);
	if (zoneinfo)
		fixture_put(&tree, ZONEINFO, zoneinfo);
	rc = zones_read_text(tree.root, zones, &nr, err);
	if (rc) {
		assert_true(rc < 0);
		assert_int_equal(nr, 12345);
		assert_memory_equal(&zones[0], &untouched, sizeof(untouched));
		return rc;
	}
	assert_string_equal(err->text, "");
	assert_true(nr >= 1 && nr <= SLUICE_MAX_ZONES);
	*zones_text = describe(zones, nr);
	return 0;
}

/* Both files, where a missing zoneinfo is a good one, and what is read. */
static const struct value {
	const char *buddyinfo;
	const char *zoneinfo;
	int rc;
	const char *result; /* or a part of the message */
} values[] = {
	{ one_zone, ZONE_TITLE ZONE_LINES ZONE_START, 0, GOOD_ZONE },
	/* orders */
	{ "Node 0, zone   Normal      7 \n", ZONE_TITLE ZONE_LINES ZONE_START, 0,
	  "0 Normal: pfn 64+200 present 100 managed 95 free 90 low 5 highatomic 0: 7\n" },
	{ "Node 0, zone   Normal 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 \n",
	  ZONE_TITLE HUGE_LINES ZONE_START, 0, ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n" },
	{ "Node 0, zone   Normal 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 \n", NULL, -EINVAL,
	  "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal\n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal " LARGEST " \n", ZONE_TITLE HUGE_LINES ZONE_START, 0,
	  ": " LARGEST "\n" },
	/* no more pages are free than the zone spans */
	{ "Node 0, zone   Normal 0 100 \n", ZONE_TITLE ZONE_LINES ZONE_START, 0, ": 0 100\n" },
	{ "Node 0, zone   Normal 1 100 \n", ZONE_TITLE ZONE_LINES ZONE_START, -EAGAIN,
	  "/proc/buddyinfo: node 0, zone Normal: 201 pages are free, of a span of 200 in "
	  "/proc/zoneinfo" },
	{ "Node 0, zone   Normal 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 " LARGEST " \n",
	  ZONE_TITLE HUGE_LINES ZONE_START, -EAGAIN,
	  "/proc/buddyinfo: node 0, zone Normal: 576460752303390720 pages are free" },
	{ "Node 0, zone   Normal " TOO_LARGE " \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 18446744073709551616 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 18446744073709551617 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 1 -2 3 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 1 +2 3 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 1 2x 3 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 1\t2 3 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 1 0x2 3 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 1 2.5 3 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 1 > 3 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	/* nodes and names */
	{ "Node 1023, zone Movable 1 \n", "Node 1023, zone  Movable\n" ZONE_LINES ZONE_START, 0,
	  "1023 Movable: pfn 64" },
	{ "Node 1024, zone Movable 1 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node -1, zone Movable 1 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 4294967296, zone Normal 1 \n", ZONE_TITLE ZONE_LINES ZONE_START, -EINVAL,
	  "/proc/buddyinfo:1:" },
	{ "Node 0, zone 123456789012345 1 \n",
	  "Node 0, zone 123456789012345\n" ZONE_LINES ZONE_START, 0, "0 123456789012345: pfn" },
	{ "Node 0, zone 123456789012345x 1 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Knot 0, zone Normal 1 \n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	/* lines */
	{ "", NULL, -EINVAL, "/proc/buddyinfo: no zone" },
	{ "\n", NULL, -EINVAL, "/proc/buddyinfo:1:" },
	{ "Node 0, zone   Normal 1 2 3 \n\n", NULL, -EINVAL, "/proc/buddyinfo:2:" },
	{ "Node 0, zone   Normal 1 2 3", NULL, -EINVAL, "/proc/buddyinfo: its last line" },
	{ "Node 0, zone   Normal 1 2 3 \nNode 0, zone Movable 1 2 \n", NULL, -EINVAL,
	  "/proc/buddyinfo:2:" },
	{ "Node 0, zone   Normal 1 2 3 \nNode 0, zone Movable 1 2 3 4 \n", NULL, -EINVAL,
	  "/proc/buddyinfo:2:" },
	{ "Node 0, zone   Normal 1 2 3 \nNode 1, zone Normal 1 2 3 \n",
	  ZONE_TITLE ZONE_LINES ZONE_START, -EINVAL, "/proc/zoneinfo: node 1, zone Normal" },
	{ "Node 0, zone   Normal 1 2 3 \nNode 0, zone Movable 1 2 3 \n",
	  ZONE_TITLE ZONE_LINES ZONE_START, -EINVAL, "/proc/zoneinfo: node 0, zone Movable" },
	{ "Node 0, zone   Normal 1 2 3 \nNode 0, zone Normal 1 2 3 \n",
	  ZONE_TITLE ZONE_LINES ZONE_START, -EINVAL, "/proc/zoneinfo: node 0, zone Normal" },
	/* zoneinfo */
	{ one_zone, "", -EINVAL,
	  "/proc/zoneinfo: node 0, zone Normal: no usable line \"pages free\"" },
	{ one_zone, ZONE_LINES ZONE_START, -EINVAL, "/proc/zoneinfo: node 0, zone Normal" },
	{ one_zone, ZONE_TITLE ZONE_LINES, -EINVAL, "no usable line \"start_pfn:\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "  start_pfn:           64", -EINVAL,
	  "no usable line \"start_pfn:\"" },
	{ one_zone, ZONE_TITLE ZONE_START, -EINVAL, "no usable line \"pages free\"" },
	{ one_zone, "Node 0, zone  Movable\n" ZONE_LINES ZONE_START, -EINVAL,
	  "/proc/zoneinfo: node 0, zone Normal" },
	{ one_zone, "Node 1, zone   Normal\n" ZONE_LINES ZONE_START, -EINVAL,
	  "/proc/zoneinfo: node 0, zone Normal" },
	{ one_zone,
	  ZONE_TITLE "  pages free     90\n        low      5\n        spanned  200\n"
		     "        managed  95\n" ZONE_START,
	  -EINVAL, "no usable line \"present\"" },
	{ one_zone,
	  ZONE_TITLE "  pages free     90\n        low      5\n        spanned  200\n"
		     "        present  100\n" ZONE_START,
	  -EINVAL, "no usable line \"managed\"" },
	{ one_zone,
	  ZONE_TITLE "  pages free     90\n        low      5\n        present  100\n"
		     "        managed  95\n" ZONE_START,
	  -EINVAL, "no usable line \"spanned\"" },
	{ one_zone,
	  ZONE_TITLE "  pages free     90\n        spanned  200\n        present  100\n"
		     "        managed  95\n" ZONE_START,
	  -EINVAL, "no usable line \"low\"" },
	{ one_zone,
	  ZONE_TITLE "        low      5\n        spanned  200\n        present  100\n"
		     "        managed  95\n" ZONE_START,
	  -EINVAL, "no usable line \"pages free\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "  start_pfn:           -64\n", -EINVAL,
	  "\"start_pfn:\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "  start_pfn:           0x40\n", -EINVAL,
	  "\"start_pfn:\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "  start_pfn:           64 \n", -EINVAL,
	  "\"start_pfn:\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "  start_pfn:            \n", -EINVAL, "\"start_pfn:\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "  start_pfn:\n", -EINVAL, "\"start_pfn:\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "  start_pfn:           " LARGEST "\n", 0,
	  "pfn " LARGEST "+200" },
	{ one_zone, ZONE_TITLE ZONE_LINES "  start_pfn:           " TOO_LARGE "\n", -EINVAL,
	  "\"start_pfn:\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "  start_pfn:           18446744073709551680\n", -EINVAL,
	  "\"start_pfn:\"" },
	/* a later line of the same name counts, as does a reserve where a kernel shows one */
	{ one_zone, ZONE_TITLE ZONE_LINES "        present  200\n" ZONE_START, 0, "present 200 " },
	{ one_zone, ZONE_TITLE ZONE_LINES "        present  201\n" ZONE_START, -EINVAL,
	  "/proc/zoneinfo: node 0, zone Normal: 201 pages present in a span of 200 from pfn 64" },
	{ one_zone, ZONE_TITLE ZONE_LINES "      nr_free_highatomic 512\n" ZONE_START, 0,
	  "highatomic 512:" },
	{ one_zone, ZONE_TITLE ZONE_LINES "      nr_free_highatomic -1\n" ZONE_START, -EINVAL,
	  "/proc/zoneinfo: node 0, zone Normal: no usable line \"nr_free_highatomic\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "      nr_free_highatomic \n" ZONE_START, -EINVAL,
	  "\"nr_free_highatomic\"" },
	{ one_zone,
	  ZONE_TITLE ZONE_LINES
	  "      nr_free_highatomic 1\n      nr_free_highatomic x\n" ZONE_START,
	  -EINVAL, "\"nr_free_highatomic\"" },
	{ one_zone, ZONE_TITLE ZONE_LINES "      nr_free_highatomic " TOO_LARGE "\n" ZONE_START,
	  -EINVAL, "\"nr_free_highatomic\"" },
	/* a bad line is not made good by one before it, but by one behind it */
	{ one_zone, ZONE_TITLE ZONE_LINES "        low      x\n" ZONE_START, -EINVAL, "\"low\"" },
	{ one_zone, ZONE_TITLE "        low      x\n" ZONE_LINES ZONE_START, 0, GOOD_ZONE },
	{ one_zone,
	  ZONE_TITLE ZONE_LINES "      lowest   9\n        lower    9\n        low77\n" ZONE_START,
	  0, GOOD_ZONE },
	/* lines of a zone that is not in buddyinfo belong to nobody */
	{ one_zone, ZONE_TITLE ZONE_LINES ZONE_START "Node 0, zone  Movable\n        low      77\n",
	  0, GOOD_ZONE },
	{ one_zone, "        low      77\n" ZONE_TITLE ZONE_LINES ZONE_START, 0, GOOD_ZONE },
};

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const struct value *value = &values[i];
		char *text = NULL;
		struct errmsg err;
		int rc;

		rc = read_both(value->buddyinfo,
			       value->zoneinfo ? value->zoneinfo : ZONE_TITLE ZONE_LINES ZONE_START,
			       &text, &err);
		if (rc != value->rc)
			fail_msg("row %zu: %d (%s) instead of %d", i, rc, err.text, value->rc);
		assert_contains(rc ? err.text : text, value->result);
	}
}

/* Numbers that are none, in each of the fields: the message names the file, zone and field. */
static void test_bad_numbers(void **state)
{
	static const char *const fields[] = { "  pages free",	 "        low",
					      "        spanned", "        present",
					      "        managed", "  start_pfn:" };
	static const char *const numbers[] = { "",
					       "-1",
					       "+1",
					       "x",
					       "1x",
					       "1 2",
					       "1 ",
					       "0x1",
					       "1e3",
					       ".5",
					       TOO_LARGE,
					       "9223372036854775808",
					       "18446744073709551614",
					       "18446744073709551615",
					       "18446744073709551616",
					       "18446744073709551617",
					       "-18446744073709551615",
					       "999999999999999999999999999999" };

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
		for (size_t n = 0; n < ARRAY_SIZE(numbers); n++) {
			char zoneinfo[512], expected[128], *text;
			struct errmsg err;

			snprintf(zoneinfo, sizeof(zoneinfo),
				 ZONE_TITLE ZONE_LINES ZONE_START "%s %s\n", fields[f], numbers[n]);
			snprintf(expected, sizeof(expected),
				 "/proc/zoneinfo: node 0, zone Normal: no usable line \"%s\"",
				 fields[f] + strspn(fields[f], " "));
			if (read_both(one_zone, zoneinfo, &text, &err) != -EINVAL)
				fail_msg("%s %s", fields[f], numbers[n]);
			assert_string_equal(err.text, expected);
		}
	}
}

static void test_too_many_zones(void **state)
{
	struct fixture_zone zones[SLUICE_MAX_ZONES + 1];
	struct sluice_zone_info read[SLUICE_MAX_ZONES];
	struct errmsg err = { "" };
	unsigned int nr = 0;

	(void)state;
	for (unsigned int i = 0; i <= SLUICE_MAX_ZONES; i++)
		zones[i] = (struct fixture_zone){ i, "Normal", 512 * i, 512, 512, i, 1, { i } };
	fixture_zones(&tree, zones, SLUICE_MAX_ZONES, 11);
	assert_int_equal(zones_read_text(tree.root, read, &nr, &err), 0);
	assert_int_equal(nr, SLUICE_MAX_ZONES);
	for (unsigned int i = 0; i < SLUICE_MAX_ZONES; i++) {
		assert_int_equal(read[i].node, i);
		assert_int_equal(read[i].start_pfn, 512 * i);
		assert_int_equal(read[i].free_pages, i);
		assert_int_equal(read[i].nr_free[0], i);
	}
	fixture_zones(&tree, zones, SLUICE_MAX_ZONES + 1, 11);
	assert_int_equal(zones_read_text(tree.root, read, &nr, &err), -E2BIG);
	assert_contains(err.text, "/proc/buddyinfo: more than 32 zones");
}

/* --- bad files -------------------------------------------------------------------------------- */

static void test_missing(void **state)
{
	static const char *const names[] = { BUDDYINFO, ZONEINFO };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct errmsg err;
		char *text;

		free(copy_file("6.1", "buddyinfo"));
		free(copy_file("6.1", "zoneinfo"));
		fixture_remove(&tree, names[i]);
		assert_int_equal(read_both(NULL, NULL, &text, &err), -ENOENT);
		assert_contains(err.text, names[i]);
		fixture_mkdir(&tree, names[i]);
		assert_int_equal(read_both(NULL, NULL, &text, &err), -EISDIR);
		assert_contains(err.text, names[i]);
		fixture_remove(&tree, names[i]);
	}
}

/*
 * Cut off behind any byte: an error that names the file, or what the whole file
 * says about the zones that are left (buddyinfo, cut between two lines).
 */
static void cut_everywhere(const struct version *version, const char *name)
{
	char path[64], *text, *whole;
	size_t good = 0;

	free(copy_file(version->name, "buddyinfo"));
	free(copy_file(version->name, "zoneinfo"));
	whole = copy_file(version->name, name);
	snprintf(path, sizeof(path), "proc/%s", name);
	for (size_t len = strlen(whole); len--;) {
		struct errmsg err;

		fixture_cut(&tree, path, len);
		if (read_both(NULL, NULL, &text, &err)) {
			assert_contains(err.text, path);
			continue;
		}
		good++;
		if (strncmp(text, version->zones, strlen(text)))
			fail_msg("%s of %s cut at %zu: %s", name, version->name, len, text);
		if (!strcmp(name, "zoneinfo"))
			assert_string_equal(text, version->zones);
		else
			assert_int_equal(whole[len - 1], '\n');
	}
	/* of buddyinfo any number of lines makes sense, of zoneinfo the zones are needed */
	assert_true(!strcmp(name, "zoneinfo") || good == version->nr - 1);
	free(whole);
}

static void test_cut_off(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		cut_everywhere(&versions[i], "buddyinfo");
		cut_everywhere(&versions[i], "zoneinfo");
	}
}

/*
 * Any byte replaced by every @step th of some others: an error that names a file,
 * or zones that can be.
 */
static void change_everywhere(const struct version *version, const char *name, size_t step)
{
	static const char bytes[] = "-0 9\nNx,"; /* and the terminating NUL */
	char path[64], *whole;
	int fd;

	free(copy_file(version->name, "buddyinfo"));
	free(copy_file(version->name, "zoneinfo"));
	whole = copy_file(version->name, name);
	snprintf(path, sizeof(path), "proc/%s", name);
	fd = openat(tree.root, path, O_WRONLY);
	assert_true(fd >= 0);
	for (off_t at = 0; whole[at]; at++) {
		for (size_t i = (size_t)at % step; i < sizeof(bytes); i += step) {
			struct sluice_zone_info zones[SLUICE_MAX_ZONES];
			struct errmsg err = { "" };
			unsigned int nr;

			assert_int_equal(pwrite(fd, &bytes[i], 1, at), 1);
			if (zones_read_text(tree.root, zones, &nr, &err)) {
				assert_contains(err.text, bytes[i] ? "/proc/" : path);
				continue;
			}
			assert_int_not_equal(bytes[i], '\0');
			assert_true(nr >= 1 && nr <= SLUICE_MAX_ZONES);
			for (unsigned int z = 0; z < nr; z++) {
				assert_true(zones[z].present_pages <= zones[z].spanned_pages);
				assert_true(zones[z].nr_orders <= SLUICE_MAX_ORDERS);
				assert_true(zones[z].node < 1024);
			}
		}
		assert_int_equal(pwrite(fd, &whole[at], 1, at), 1);
	}
	close(fd);
	free(whole);
}

static void test_changed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		change_everywhere(&versions[i], "buddyinfo", 1);
		change_everywhere(&versions[i], "zoneinfo", 9);
	}
}

static void test_huge(void **state)
{
	static const char *const names[] = { BUDDYINFO, ZONEINFO };
	static const char *const fills[] = { "garbage", "Node 0, zone   Normal 1 2 3 \n" };
	const size_t size = 10 << 20;
	char *huge = malloc(size + 1);

	(void)state;
	assert_non_null(huge);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (size_t f = 0; f < ARRAY_SIZE(fills); f++) {
			struct errmsg err;
			char *text;

			for (size_t at = 0; at < size; at++)
				huge[at] = fills[f][at % strlen(fills[f])];
			free(copy_file("6.1", "buddyinfo"));
			free(copy_file("6.1", "zoneinfo"));
			fixture_write(&tree, names[i], huge, size);
			assert_int_equal(read_both(NULL, NULL, &text, &err), -EFBIG);
			assert_contains(err.text, names[i]);
		}
	}
	free(huge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_zones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
