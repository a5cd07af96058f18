// SPDX-License-Identifier: GPL-2.0-only
/* The same tests of the arithmetic as BPF programs have it, which lack an instruction for it. */
#define __bpf__ 1
#include "test_shared.c"
