/*
 * criterion.h - as much of Criterion as the tests of two threads need, for the thread sanitizer:
 * Criterion itself maps memory where TSan keeps its own, and does not start. A test is a function
 * in a list, run in this process; the first failure ends the program.
 */
#ifndef M57_TSAN_CRITERION_H
#define M57_TSAN_CRITERION_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tsan_test {
	struct tsan_test *next;
	const char *suite, *name;
	void (*body)(void);
};

extern struct tsan_test *tsan_tests;

#define TestSuite(suite, ...) struct tsan_suite_##suite /* options do not matter here */

#define Test(suite_, name_, ...)                                                                   \
	static void test_##suite_##_##name_(void);                                                 \
	__attribute__((constructor)) static void test_##suite_##_##name_##_enter(void)             \
	{                                                                                          \
		static struct tsan_test test = {NULL, #suite_, #name_, test_##suite_##_##name_};   \
		test.next = tsan_tests;                                                            \
		tsan_tests = &test;                                                                \
	}                                                                                          \
	static void test_##suite_##_##name_(void)

#define TSAN_CHECK(holds)                                                                          \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #holds);                         \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define cr_assert(holds, ...)          TSAN_CHECK(holds)
#define cr_assert_eq(a, b, ...)        TSAN_CHECK((a) == (b))
#define cr_assert_neq(a, b, ...)       TSAN_CHECK((a) != (b))
#define cr_assert_lt(a, b, ...)        TSAN_CHECK((a) < (b))
#define cr_assert_leq(a, b, ...)       TSAN_CHECK((a) <= (b))
#define cr_assert_gt(a, b, ...)        TSAN_CHECK((a) > (b))
#define cr_assert_geq(a, b, ...)       TSAN_CHECK((a) >= (b))
#define cr_assert_null(a, ...)         TSAN_CHECK((a) == NULL)
#define cr_assert_not_null(a, ...)     TSAN_CHECK((a) != NULL)
#define cr_assert_not(a, ...)          TSAN_CHECK(!(a))
#define cr_assert_str_eq(a, b, ...)    TSAN_CHECK(strcmp(a, b) == 0)
#define cr_assert_arr_eq(a, b, n, ...) TSAN_CHECK(memcmp(a, b, n) == 0)
#define cr_expect_arr_eq               cr_assert_arr_eq
#define cr_expect                      cr_assert
#define cr_expect_eq                   cr_assert_eq
#define cr_expect_neq                  cr_assert_neq
#define cr_expect_lt                   cr_assert_lt
#define cr_expect_leq                  cr_assert_leq
#define cr_expect_gt                   cr_assert_gt
#define cr_expect_geq                  cr_assert_geq
#define cr_expect_null                 cr_assert_null
#define cr_expect_not_null             cr_assert_not_null
#define cr_expect_not                  cr_assert_not
#define cr_expect_str_eq               cr_assert_str_eq
#define cr_skip_test(...)              return

#endif
