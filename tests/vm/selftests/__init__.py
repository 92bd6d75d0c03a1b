# SPDX-License-Identifier: Apache-2.0
"""Tests of the harness itself: no guest, no root."""
