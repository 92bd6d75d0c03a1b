# SPDX-License-Identifier: Apache-2.0
"""Cases that run in guests, one file per subject. How they are written: harness/case.py."""
