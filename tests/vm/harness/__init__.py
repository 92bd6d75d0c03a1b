# SPDX-License-Identifier: Apache-2.0
"""Virtual machines to test smc-steer in: QEMU guests on one bridge and one region.

Everything of a lab lives in namespaces of its own (see namespaces.py); whatever ends the
lab's first process ends all of it.
"""
