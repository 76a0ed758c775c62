/*
 * rcu.c - the one object of rcu.h: what ThreadSanitizer takes for the grace period.
 */
#include "rcu.h"

char rcu_grace_token;
