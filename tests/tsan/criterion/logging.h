/* logging.h - see criterion.h */
#ifndef M57_TSAN_LOGGING_H
#define M57_TSAN_LOGGING_H

#include <stdio.h>

#define cr_log_info(...)                                                                           \
	do {                                                                                       \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fprintf(stderr, "\n");                                                             \
	} while (0)
#define cr_log_warn cr_log_info

#endif
