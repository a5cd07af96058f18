# SPDX-License-Identifier: GPL-2.0-only
"""What the phases benchmark compares besides the strategies by their own names."""

BASELINE = "kernel"
CONTROL = "kernel2"  # the baseline once more: what the method finds where there is nothing
STATIC_0 = "static0"
